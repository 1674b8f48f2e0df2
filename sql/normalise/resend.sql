-- resend: Resend's webhooks as a collector stores them, with the header svix-id beside the body's keys or under headers.
--
-- Grain   one row per event
-- Reads   records
-- Counts  a mail to several recipients has an event for each of them. Such an event does not name its recipient, so it has no
--         address. data.created_at is the time of the mail, created_at that of the event. An open or click has a time of its
--         own, too, which is read where created_at is missing. Resend's tags are pairs, so they are metadata and take precedence
--         over a header X-Metadata. The words of a header X-Tags are tags.
--         resend.com/docs/webhooks/event-types, resend.com/docs/webhooks/emails/bounced
WITH parsed_events AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(
            record,
            '{
                "type": "VARCHAR", "created_at": "VARCHAR", "svix-id": "VARCHAR", "headers": {"svix-id": "VARCHAR"},
                "data": {
                    "email_id": "VARCHAR", "to": ["VARCHAR"], "cc": ["VARCHAR"], "bcc": ["VARCHAR"], "tags": "VARCHAR",
                    "headers": [{"name": "VARCHAR", "value": "VARCHAR"}],
                    "click": {"link": "VARCHAR", "userAgent": "VARCHAR", "timestamp": "VARCHAR"},
                    "open": {"userAgent": "VARCHAR", "timestamp": "VARCHAR"},
                    "bounce": {"message": "VARCHAR", "type": "VARCHAR", "subType": "VARCHAR", "diagnosticCode": ["VARCHAR"]}
                }
            }'
        )) AS event
    FROM records
),

named_events AS (
    SELECT
        *,
        LOWER(event.type) AS name,
        LOWER(event.data.bounce.type) AS bounce_type,
        LOWER(event.data.bounce."subType") AS bounce_subtype,
        LOWER(COALESCE(event.data.bounce.message, '')) AS bounce_message,
        COALESCE(event.headers."svix-id", event."svix-id") AS svix_id,
        LIST_CONCAT(event.data.to, event.data.cc, event.data.bcc) AS addressees,
        CASE
            WHEN event.data.headers IS NOT NULL
                THEN LIST_TRANSFORM(
                    ['x-metadata', 'x-tags', 'cc', 'bcc'],
                    lambda wanted : LIST_FILTER(event.data.headers, lambda header : LOWER(header.name) = wanted)[1].value
                )
        END AS header_values
    FROM parsed_events
),

detailed_events AS (
    SELECT
        *,
        object_text(header_values[1]) AS header_metadata,
        COALESCE(
            CASE
                WHEN STARTS_WITH(event.data.tags, '{') THEN object_text(event.data.tags)
                WHEN STARTS_WITH(event.data.tags, '[')
                    THEN '{' || ARRAY_TO_STRING(LIST_TRANSFORM(
                        LIST_FILTER(
                            TRY(JSON_TRANSFORM(event.data.tags, '[{"name": "VARCHAR", "value": "VARCHAR"}]')),
                            lambda tag : tag.name IS NOT NULL AND tag.value IS NOT NULL
                        ),
                        lambda tag : CAST(TO_JSON(tag.name) AS VARCHAR) || ':' || CAST(TO_JSON(tag.value) AS VARCHAR)
                    ), ',') || '}'
            END,
            '{}'
        ) AS tag_metadata,
        bounce_subtype IN ('suppressed', 'onaccountsuppressionlist') OR CONTAINS(bounce_message, 'suppressed sending') AS is_suppressed_bounce,
        CASE
            WHEN name = 'email.delivery_delayed' THEN 'soft'
            WHEN name != 'email.bounced' THEN NULL
            WHEN bounce_type = 'permanent' THEN 'hard'
            WHEN bounce_type = 'transient' AND bounce_subtype IN ('contentrejected', 'attachmentrejected') THEN 'block'
            WHEN bounce_type = 'transient' THEN 'soft'
            WHEN bounce_type IS NULL AND REGEXP_MATCHES(bounce_message, 'hard bounce|suppressed sending') THEN 'hard'
            ELSE 'undetermined'
        END AS bounce_class
    FROM named_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    FALSE AS is_ignored,
    CASE
        WHEN nullif_blank(name) IS NOT NULL THEN COALESCE(MAP {
            'email.sent': 'sent',
            'email.delivery_delayed': 'deferred',
            'email.delivered': 'delivered',
            'email.bounced': 'bounced',
            'email.suppressed': 'rejected',
            'email.failed': 'failed',
            'email.opened': 'opened',
            'email.clicked': 'clicked',
            'email.complained': 'complained'
        }[name], 'unknown')
    END AS event_type,
    COALESCE(iso_time(event.created_at), iso_time(event.data.click.timestamp), iso_time(event.data.open.timestamp)) AS occurred_at,
    svix_id AS event_key,
    CASE
        WHEN nullif_blank(svix_id) IS NULL
            THEN CONCAT_WS('|', name, COALESCE(event.data.email_id, ''), TRIM(event.created_at), COALESCE(event.data.click.link, ''))
    END AS key_parts,
    CASE WHEN LEN(addressees) = 1 AND COALESCE(header_values[3], header_values[4]) IS NULL THEN addressees[1] END AS email,
    event.data.email_id AS message_id,
    CASE
        WHEN header_metadata IS NULL THEN tag_metadata
        ELSE CAST(JSON_MERGE_PATCH(header_metadata, tag_metadata) AS VARCHAR)
    END AS metadata,
    event.data.click.link AS url,
    COALESCE(event.data.click."userAgent", event.data.open."userAgent") AS user_agent,
    bounce_class,
    CASE
        WHEN name = 'email.suppressed' OR is_suppressed_bounce OR bounce_class = 'block' THEN 'blocked'
        WHEN name = 'email.bounced' THEN 'bounced'
        WHEN name = 'email.complained' THEN 'spam'
    END AS reject_reason,
    ARRAY_TO_STRING(event.data.bounce."diagnosticCode", ' ') AS mta_response,
    name = 'email.suppressed' OR is_suppressed_bounce AS is_suppressed,
    header_values[2] AS tags
FROM detailed_events
