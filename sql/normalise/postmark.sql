-- postmark: Postmark's webhooks, pages of its bounces, opens, clicks and messages APIs, and the details of a message.
--
-- Grain   one row per record; for the details of a message one per event of the message
-- Reads   records
-- Counts  only bounces and complaints have an ID. A change of subscription that follows a bounce or complaint gets the type of
--         that event. Both report the same, and the recipient is counted once. A list of messages holds no events and is
--         ignored. In a message's details, events from the slice's time limit on are ignored.
--         postmarkapp.com/developer/webhooks, .../api/bounce-api
WITH pages AS (
    SELECT
        *,
        CASE
            WHEN CONTAINS(record, '"TotalCount"') THEN TRY(JSON_TRANSFORM(record, '{"Bounces": ["JSON"], "Opens": ["JSON"], "Clicks": ["JSON"], "Messages": ["JSON"]}'))
        END AS page
    FROM records
),

payloads AS (
    SELECT
        file,
        document,
        CASE
            WHEN page.Bounces IS NOT NULL THEN 'Bounce' WHEN page.Opens IS NOT NULL THEN 'Open' WHEN page.Clicks IS NOT NULL THEN 'Click'
            WHEN page.Messages IS NOT NULL THEN 'Message'
        END AS page_type,
        UNNEST(COALESCE(CAST(COALESCE(page.Bounces, page.Opens, page.Clicks, page.Messages) AS VARCHAR[]), [record])) AS record
    FROM pages
),

parsed_payloads AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(record, '{
            "RecordType": "VARCHAR", "Type": "VARCHAR", "ID": "VARCHAR", "MessageID": "VARCHAR", "Email": "VARCHAR", "Recipient": "VARCHAR",
            "DeliveredAt": "VARCHAR", "BouncedAt": "VARCHAR", "ReceivedAt": "VARCHAR", "ChangedAt": "VARCHAR", "UserAgent": "VARCHAR",
            "OriginalLink": "VARCHAR", "Details": "VARCHAR", "Tag": "VARCHAR", "Metadata": "VARCHAR",
            "SuppressSending": "VARCHAR", "SuppressionReason": "VARCHAR",
            "MessageEvents": [{
                "Recipient": "VARCHAR", "Type": "VARCHAR", "ReceivedAt": "VARCHAR",
                "Details": {"DeliveryMessage": "VARCHAR", "Link": "VARCHAR", "BounceID": "VARCHAR"}
            }]
        }')) AS event
    FROM payloads
),

message_events AS (
    SELECT
        *,
        UNNEST(COALESCE(event.MessageEvents, [NULL])) AS step
    FROM parsed_payloads
),

named_events AS (
    SELECT
        *,
        COALESCE(
            nullif_blank(event.RecordType), page_type,
            COALESCE(MAP {
                'Delivered': 'Delivery',
                'Opened': 'Open',
                'LinkClicked': 'Click',
                'Bounced': 'Bounce'
            }[step.Type], step.Type)
        ) AS record_type,
        CASE
            WHEN record_type = 'Bounce' THEN COALESCE(nullif_blank(event.Type), 'Bounce')
            WHEN COALESCE(record_type, '') != 'SubscriptionChange' THEN record_type
            WHEN LOWER(event.SuppressSending) = 'false' THEN 'Subscribe'
            WHEN event.SuppressionReason IN ('HardBounce', 'SpamComplaint') THEN event.SuppressionReason
            ELSE 'Unsubscribe'
        END AS name,
        CASE
            WHEN name IS NOT NULL THEN COALESCE(MAP {
                'Transient': 'deferred',
                'DnsError': 'deferred',
                'OpenRelayTest': 'deferred',
                'Delivery': 'delivered',
                'Bounce': 'bounced',
                'HardBounce': 'bounced',
                'SoftBounce': 'bounced',
                'VirusNotification': 'bounced',
                'BadEmailAddress': 'rejected',
                'Blocked': 'rejected',
                'ManuallyDeactivated': 'rejected',
                'Unconfirmed': 'rejected',
                'DMARCPolicy': 'rejected',
                'SMTPApiError': 'failed',
                'TemplateRenderingFailed': 'failed',
                'Open': 'opened',
                'Click': 'clicked',
                'SpamComplaint': 'complained',
                'SpamNotification': 'complained',
                'Unsubscribe': 'unsubscribed',
                'ManualSuppression': 'unsubscribed',
                'Subscribe': 'subscribed',
                'AutoResponder': 'autoresponded',
                'AddressChange': 'autoresponded',
                'ChallengeVerification': 'autoresponded'
            }[name], 'unknown')
        END AS event_type,
        COALESCE(
            iso_time(step.ReceivedAt), iso_time(event.DeliveredAt), iso_time(event.BouncedAt), iso_time(event.ReceivedAt), iso_time(event.ChangedAt)
        ) AS occurred_at,
        COALESCE(step.Recipient, nullif_blank(event.Email), event.Recipient) AS email,
        COALESCE(event.OriginalLink, step.Details.Link) AS url
    FROM message_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    COALESCE(page_type = 'Message' OR (step IS NOT NULL AND occurred_at >= time_limit(file)), FALSE) AS is_ignored,
    event_type,
    occurred_at,
    CASE WHEN record_type IN ('Bounce', 'SpamComplaint') THEN COALESCE(event.ID, step.Details.BounceID) END AS event_key,
    CONCAT_WS(
        '|', record_type, COALESCE(event.MessageID, ''), LOWER(COALESCE(TRIM(email), '')), EPOCH_US(occurred_at), COALESCE(url, '')
    ) AS key_parts,
    email,
    event.MessageID AS message_id,
    object_text(event.Metadata) AS metadata,
    url,
    event.UserAgent AS user_agent,
    CASE
        WHEN event_type = 'deferred' OR name = 'SoftBounce' THEN 'soft'
        WHEN name = 'HardBounce' THEN 'hard'
        WHEN name = 'VirusNotification' THEN 'block'
        WHEN event_type = 'bounced' THEN 'undetermined'
    END AS bounce_class,
    CASE
        WHEN name IN ('HardBounce', 'SoftBounce', 'Bounce') THEN 'bounced'
        WHEN name = 'BadEmailAddress' THEN 'invalid'
        WHEN name IN ('Blocked', 'ManuallyDeactivated', 'DMARCPolicy') THEN 'blocked'
        WHEN event_type = 'complained' THEN 'spam'
        WHEN event_type IN ('bounced', 'rejected') THEN 'other'
    END AS reject_reason,
    COALESCE(event.Details, step.Details.DeliveryMessage) AS mta_response,
    event.Tag AS tags
FROM named_events
