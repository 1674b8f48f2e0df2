-- mailtrap: Mailtrap's webhook batches, as JSON or as JSON lines.
--
-- Grain   one row per event
-- Reads   records
-- Counts  a soft bounce and a suspension (of an unverified domain) are tried again, so they are deferred; a reject was never
--         tried: the recipient is on the suppression list or the domain stayed unverified. A bounce for what the mail or its
--         sender is, is a block; one for a passing state is soft. A category is a tag. docs.mailtrap.io/email-api-smtp/webhooks,
--         docs.mailtrap.io/email-api-smtp/analytics/statuses-and-events, docs.mailtrap.io/email-api-smtp/bounce-categorization
WITH unwrapped AS (
    SELECT
        file,
        document,
        UNNEST(members(record, 'events')) AS record
    FROM records
),

parsed AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(
            record,
            '{
                "event": "VARCHAR", "event_id": "VARCHAR", "message_id": "VARCHAR", "email": "VARCHAR", "timestamp": "VARCHAR",
                "category": "VARCHAR", "custom_variables": "VARCHAR", "response": "VARCHAR",
                "response_code": "VARCHAR", "bounce_category": "VARCHAR", "user_agent": "VARCHAR", "url": "VARCHAR"
            }'
        )) AS event
    FROM unwrapped
),

named AS (
    SELECT
        *,
        LOWER(TRIM(event.event)) AS name,
        LOWER(event.bounce_category) AS category
    FROM parsed
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    FALSE AS is_ignored,
    CASE name
        WHEN 'soft bounce' THEN 'deferred'
        WHEN 'soft_bounce' THEN 'deferred'
        WHEN 'suspension' THEN 'deferred'
        WHEN 'delivery' THEN 'delivered'
        WHEN 'bounce' THEN 'bounced'
        WHEN 'reject' THEN 'rejected'
        WHEN 'open' THEN 'opened'
        WHEN 'click' THEN 'clicked'
        WHEN 'spam' THEN 'complained'
        WHEN 'unsubscribe' THEN 'unsubscribed'
        ELSE CASE WHEN nullif_blank(name) IS NOT NULL THEN 'unknown' END
    END AS event_type,
    epoch_time(event.timestamp, 1000000) AS occurred_at,
    event.event_id AS event_key,
    CONCAT_WS(
        '|', name, COALESCE(event.message_id, ''), LOWER(TRIM(COALESCE(event.email, ''))), event.timestamp, COALESCE(event.url, '')
    ) AS key_parts,
    event.email AS email,
    event.message_id AS message_id,
    object_text(event.custom_variables) AS metadata,
    event.url AS url,
    event.user_agent AS user_agent,
    CASE
        WHEN name IN ('soft bounce', 'soft_bounce', 'suspension') THEN 'soft'
        WHEN name != 'bounce' THEN NULL
        WHEN category IN ('block', 'content', 'spam', 'spam_gmail', 'serverpolicy', 'badsender', 'relayfail') THEN 'block'
        WHEN category IN ('transientfail', 'greylisting', 'timeout', 'overquota') OR STARTS_WITH(event.response_code, '4') THEN 'soft'
        ELSE 'hard'
    END AS bounce_class,
    CASE name WHEN 'bounce' THEN 'bounced' WHEN 'reject' THEN 'blocked' WHEN 'spam' THEN 'spam' END AS reject_reason,
    event.response_code AS smtp_code,
    event.response AS mta_response,
    name = 'reject' AS is_suppressed,
    event.category AS tags
FROM named
