-- mailersend: MailerSend's webhooks of both versions and pages of its activity API.
--
-- Grain   one row per event; a page's row is what a webhook of version 1 has as data
-- Reads   records
-- Counts  version 1 (until 2026-12) nests mail and recipient, version 2 names them flat and has the time beside data. The mail's
--         status says less than the event's type. MailerSend has no metadata, and no user agent in version 1.
--         developers.mailersend.com/api/v1/account/webhooks, developers.mailersend.com/api/v1/activity
WITH unwrapped AS (
    SELECT
        file,
        document,
        UNNEST(members(record, 'data')) AS record
    FROM records
),

parsed AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(
            CASE WHEN REGEXP_MATCHES(record, '"data"\s*:\s*\{') THEN record ELSE '{"data": ' || record || '}' END,
            '{
                "type": "VARCHAR", "created_at": "VARCHAR",
                "data": {
                    "type": "VARCHAR", "id": "VARCHAR", "created_at": "VARCHAR", "message_id": "VARCHAR", "recipient": "VARCHAR",
                    "tags": "VARCHAR",
                    "email": {"tags": "VARCHAR", "message": {"id": "VARCHAR"}, "recipient": {"email": "VARCHAR"}},
                    "morph": {"url": "VARCHAR", "reason": "VARCHAR"},
                    "meta": {"url": "VARCHAR", "user_agent": "VARCHAR", "bounce_reason": "VARCHAR", "bounce_code": "VARCHAR"}
                }
            }'
        )) AS event
    FROM unwrapped
),

named AS (
    SELECT
        *,
        LOWER(COALESCE(nullif_blank(event.data.type), REGEXP_REPLACE(event.type, '^activity\.', ''))) AS name,
        COALESCE(event.data.created_at, event.created_at) AS moment,
        COALESCE(event.data.email.recipient.email, event.data.recipient) AS email,
        COALESCE(event.data.email.message.id, event.data.message_id) AS message_id,
        COALESCE(event.data.morph.url, event.data.meta.url) AS url
    FROM parsed
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    FALSE AS is_ignored,
    CASE name
        WHEN 'sent' THEN 'sent'
        WHEN 'deferred' THEN 'deferred'
        WHEN 'delivered' THEN 'delivered'
        WHEN 'soft_bounced' THEN 'bounced'
        WHEN 'hard_bounced' THEN 'bounced'
        WHEN 'suppressed' THEN 'rejected'
        WHEN 'opened' THEN 'opened'
        WHEN 'clicked' THEN 'clicked'
        WHEN 'spam_complaint' THEN 'complained'
        WHEN 'spam_complaints' THEN 'complained'
        WHEN 'unsubscribed' THEN 'unsubscribed'
        ELSE CASE WHEN nullif_blank(name) IS NOT NULL THEN 'unknown' END
    END AS event_type,
    iso_time(moment) AS occurred_at,
    event.data.id AS event_key,
    CASE
        WHEN nullif_blank(event.data.id) IS NULL
            THEN CONCAT_WS(
                '|', name, COALESCE(message_id, ''), LOWER(TRIM(COALESCE(email, ''))), TRIM(moment), COALESCE(url, '')
            )
    END AS key_parts,
    email,
    message_id,
    url,
    event.data.meta.user_agent AS user_agent,
    CASE WHEN name = 'hard_bounced' THEN 'hard' WHEN name IN ('soft_bounced', 'deferred') THEN 'soft' END AS bounce_class,
    CASE
        WHEN name IN ('soft_bounced', 'hard_bounced') THEN 'bounced'
        WHEN name = 'suppressed' THEN 'blocked'
        WHEN name IN ('spam_complaint', 'spam_complaints') THEN 'spam'
    END AS reject_reason,
    event.data.meta.bounce_code AS smtp_code,
    CASE
        WHEN name IN ('soft_bounced', 'hard_bounced', 'deferred')
            THEN COALESCE(event.data.morph.reason, event.data.meta.bounce_reason)
    END AS mta_response,
    name = 'suppressed' AS is_suppressed,
    COALESCE(event.data.email.tags, event.data.tags) AS tags
FROM named
