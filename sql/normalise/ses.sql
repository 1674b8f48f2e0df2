-- ses: Amazon SES's published events and feedback notifications, bare (Firehose) or in envelopes of SQS, Lambda, SNS, EventBridge.
--
-- Grain   one row per record and recipient that it names; one row without an address where it may be any of several
-- Reads   records
-- Counts  the time is that of the event's own object, else the envelope's. Events without one (Send, Reject, Rendering Failure,
--         an unlisted name) have the mail's time, else the envelope's. What SNS and SES send to confirm a subscription is
--         ignored in any envelope. SNS's MessageId is not the key: with both of SES's formats switched on, one
--         event has two. Metadata are the sender's tags, which take precedence over a header X-Metadata. Tags that begin with
--         "ses:" are SES's own, an IP among them, and are left out. SES never tried a bounce or complaint by suppression list.
--         docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
WITH payloads AS (
    SELECT
        file,
        document,
        UNNEST(CASE WHEN CONTAINS(record, '"Messages"') THEN members(record, 'Messages') ELSE members(record, 'Records') END) AS payload
    FROM records
),

-- A queue has the message as text, under body (Lambda) or Body (SQS's own API). Lambda has SNS's envelope as an object.
queued_records AS (
    SELECT
        file,
        document,
        CASE
            WHEN REGEXP_MATCHES(payload, '"(body|Body|Sns)"\s*:')
                THEN COALESCE(TRY(payload ->> '$.body'), TRY(payload ->> '$.Body'), TRY(payload ->> '$.Sns'), payload)
            ELSE payload
        END AS record
    FROM payloads
),

envelopes AS (
    SELECT
        *,
        CASE
            WHEN CONTAINS(record, '"Type"') OR CONTAINS(record, '"detail"')
                THEN TRY(JSON_TRANSFORM(record, '{
                    "Type": "VARCHAR", "Message": "VARCHAR", "Timestamp": "VARCHAR", "detail-type": "VARCHAR", "detail": "VARCHAR", "time": "VARCHAR"
                }'))
        END AS envelope
    FROM queued_records
),

message_contents AS (
    SELECT
        *,
        COALESCE(envelope.Message, envelope.detail, record) AS content
    FROM envelopes
),

parsed_events AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(content, '{
            "eventType": "VARCHAR", "notificationType": "VARCHAR",
            "mail": {"timestamp": "VARCHAR", "messageId": "VARCHAR", "destination": ["VARCHAR"], "tags": "VARCHAR"},
            "bounce": "VARCHAR", "complaint": "VARCHAR", "delivery": "VARCHAR", "deliveryDelay": "VARCHAR",
            "open": "VARCHAR", "click": "VARCHAR", "subscription": "VARCHAR"
        }')) AS event,
        CASE
            WHEN CONTAINS(content, '"X-') OR CONTAINS(content, '"x-')
                THEN TRY(JSON_TRANSFORM(content, '{"mail": {"headers": [{"name": "VARCHAR", "value": "VARCHAR"}]}}')).mail.headers
        END AS headers
    FROM message_contents
),

named_events AS (
    SELECT
        *,
        COALESCE(envelope.Type != 'Notification', FALSE) OR COALESCE(STARTS_WITH(content, 'Successfully validated'), FALSE)
            OR COALESCE(event.notificationType = 'AmazonSnsSubscriptionSucceeded', FALSE) AS is_confirmation,
        LOWER(COALESCE(nullif_blank(event.eventType), nullif_blank(event.notificationType), nullif_blank(envelope."detail-type"))) AS name,
        TRY(JSON_TRANSFORM(
            COALESCE(event.bounce, event.complaint, event.delivery, event.deliveryDelay, event.open, event.click, event.subscription),
            '{
                "timestamp": "VARCHAR", "arrivalDate": "VARCHAR", "feedbackId": "VARCHAR", "bounceType": "VARCHAR", "bounceSubType": "VARCHAR",
                "complaintSubType": "VARCHAR", "recipients": ["VARCHAR"], "smtpResponse": "VARCHAR",
                "bouncedRecipients": [{"emailAddress": "VARCHAR", "status": "VARCHAR", "diagnosticCode": "VARCHAR"}],
                "delayedRecipients": [{"emailAddress": "VARCHAR", "status": "VARCHAR", "diagnosticCode": "VARCHAR"}],
                "complainedRecipients": [{"emailAddress": "VARCHAR", "status": "VARCHAR", "diagnosticCode": "VARCHAR"}],
                "ipAddress": "VARCHAR", "userAgent": "VARCHAR", "link": "VARCHAR",
                "newTopicPreferences": {"unsubscribeAll": "BOOLEAN", "topicSubscriptionStatus": ["VARCHAR"]},
                "oldTopicPreferences": {"topicSubscriptionStatus": ["VARCHAR"]}
            }'
        )) AS detail,
        object_text(LIST_FILTER(headers, lambda header : LOWER(header.name) = 'x-metadata')[1].value) AS header_metadata,
        LIST_FILTER(headers, lambda header : LOWER(header.name) = 'x-tag') AS tag_headers,
        CAST(TO_JSON(MAP_FROM_ENTRIES(LIST_TRANSFORM(
            LIST_FILTER(entries(object_text(event.mail.tags)), lambda tag : NOT STARTS_WITH(tag.key, 'ses:')),
            lambda tag : {'key': tag.key, 'value': COALESCE(TRY(tag.value ->> '$[0]'), tag.value)}
        ))) AS VARCHAR) AS tag_metadata
    FROM parsed_events
),

recipient_events AS (
    SELECT
        *,
        UNNEST(COALESCE(
            NULLIF(COALESCE(detail.bouncedRecipients, detail.delayedRecipients, detail.complainedRecipients), []),
            NULLIF(LIST_TRANSFORM(
                COALESCE(
                    NULLIF(detail.recipients, []),
                    CASE WHEN name IN ('send', 'reject') OR LEN(event.mail.destination) = 1 THEN event.mail.destination END
                ),
                lambda address : {'emailAddress': address, 'status': NULL, 'diagnosticCode': NULL}
            ), []),
            [NULL]
        )) AS recipient,
        iso_time(CASE
            WHEN name IN ('delivery', 'open', 'click', 'bounce', 'complaint', 'deliverydelay', 'subscription')
                THEN COALESCE(nullif_blank(detail.timestamp), nullif_blank(detail.arrivalDate), envelope.time, envelope.Timestamp)
            ELSE COALESCE(nullif_blank(event.mail.timestamp), envelope.time, envelope.Timestamp)
        END) AS occurred_at,
        detail.newTopicPreferences.unsubscribeAll OR LEN(LIST_FILTER(
            detail.newTopicPreferences.topicSubscriptionStatus,
            lambda topic : CONTAINS(topic, '"OptOut"') AND NOT COALESCE(LIST_CONTAINS(detail.oldTopicPreferences.topicSubscriptionStatus, topic), FALSE)
        )) > 0 AS is_opt_out
    FROM named_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL OR is_confirmation AS is_readable,
    is_confirmation AS is_ignored,
    CASE WHEN name IS NULL THEN missing('event', content) END AS reject,
    CASE
        WHEN name = 'subscription' THEN IF(is_opt_out, 'unsubscribed', 'subscribed')
        WHEN name IS NOT NULL THEN COALESCE(MAP {
            'send': 'sent',
            'deliverydelay': 'deferred',
            'delivery': 'delivered',
            'bounce': 'bounced',
            'reject': 'rejected',
            'rendering failure': 'failed',
            'open': 'opened',
            'click': 'clicked',
            'complaint': 'complained'
        }[name], 'unknown')
    END AS event_type,
    occurred_at,
    CONCAT_WS(
        '|', COALESCE(event.mail.messageId, ''), name, LOWER(COALESCE(address(recipient.emailAddress), '')), EPOCH_US(occurred_at),
        COALESCE(detail.feedbackId, detail.link, ''), COALESCE(detail.ipAddress, ''), COALESCE(detail.userAgent, '')
    ) AS key_parts,
    recipient.emailAddress AS email,
    event.mail.messageId AS message_id,
    IF(
        header_metadata IS NULL, tag_metadata, CAST(JSON_MERGE_PATCH(header_metadata, COALESCE(tag_metadata, '{}')) AS VARCHAR)
    ) AS metadata,
    detail.link AS url,
    IF(name IN ('open', 'click'), detail.userAgent, NULL) AS user_agent,
    CASE
        WHEN name = 'deliverydelay' OR detail.bounceType = 'Transient'
            THEN IF(detail.bounceSubType IN ('ContentRejected', 'AttachmentRejected'), 'block', 'soft')
        WHEN name = 'bounce' THEN IF(detail.bounceType = 'Permanent', 'hard', 'undetermined')
    END AS bounce_class,
    MAP_EXTRACT_VALUE(MAP {
        'bounce': 'bounced',
        'reject': 'blocked',
        'complaint': 'spam'
    }, name) AS reject_reason,
    recipient.status AS enhanced_code,
    COALESCE(recipient.diagnosticCode, detail.smtpResponse) AS mta_response,
    COALESCE(detail.bounceSubType, detail.complaintSubType) IN ('Suppressed', 'OnAccountSuppressionList') AS is_suppressed,
    CAST(TO_JSON(LIST_TRANSFORM(tag_headers, lambda header : header.value)) AS VARCHAR) AS tags
FROM recipient_events
