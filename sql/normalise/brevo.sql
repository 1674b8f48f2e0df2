-- brevo: Brevo's (Sendinblue's) transactional webhooks and pages of its event report.
--
-- Grain   one row per event
-- Reads   records
-- Counts  ts_epoch alone is UTC; ts, ts_event and a date without an offset follow the account's time zone and are no time. The
--         report spells the events in other words than the webhook: both have one name here, and so one key. id is the
--         webhook's, not the event's. The header X-Mailin-custom is metadata where it is JSON. A report of nothing may be {}.
--         developers.brevo.com/docs/transactional-webhooks, developers.brevo.com/reference/get-email-event-report
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
                "event": "VARCHAR", "email": "VARCHAR", "ts_epoch": "VARCHAR", "date": "VARCHAR", "message-id": "VARCHAR",
                "messageId": "VARCHAR", "link": "VARCHAR", "reason": "VARCHAR", "user_agent": "VARCHAR", "tag": "VARCHAR",
                "tags": "VARCHAR", "X-Mailin-custom": "VARCHAR"
            }'
        )) AS event
    FROM unwrapped
),

named AS (
    SELECT
        *,
        CASE LOWER(event.event)
            WHEN 'requests' THEN 'request'
            WHEN 'hardbounces' THEN 'hard_bounce'
            WHEN 'softbounces' THEN 'soft_bounce'
            WHEN 'invalid' THEN 'invalid_email'
            WHEN 'loadedbyproxy' THEN 'proxy_open'
            WHEN 'clicks' THEN 'click'
            WHEN 'unsubscribed' THEN 'unsubscribe'
            ELSE LOWER(event.event)
        END AS name,
        COALESCE(
            epoch_time(event.ts_epoch, 1000),
            CASE WHEN REGEXP_MATCHES(event.date, '\d(?:Z|[+-]\d\d(?::?\d\d)?)\s*$') THEN iso_time(event.date) END
        ) AS occurred_at,
        COALESCE(event."message-id", event."messageId") AS message_id
    FROM parsed
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    TRIM(record) = '{}' AS is_ignored,
    CASE
        WHEN name = 'request' THEN 'queued'
        WHEN name = 'deferred' THEN 'deferred'
        WHEN name = 'delivered' THEN 'delivered'
        WHEN name IN ('hard_bounce', 'soft_bounce', 'invalid_email', 'bounces') THEN 'bounced'
        WHEN name = 'blocked' THEN 'rejected'
        WHEN name = 'error' THEN 'failed'
        WHEN name IN ('opened', 'unique_opened', 'proxy_open', 'unique_proxy_open', 'unique_proxy_opened') THEN 'opened'
        WHEN name = 'click' THEN 'clicked'
        WHEN name IN ('spam', 'complaint') THEN 'complained'
        WHEN name = 'unsubscribe' THEN 'unsubscribed'
        WHEN name = 'list_addition' THEN 'subscribed'
        WHEN nullif_blank(name) IS NOT NULL THEN 'unknown'
    END AS event_type,
    occurred_at,
    CONCAT_WS(
        '|', name, COALESCE(bare_id(message_id), ''), LOWER(TRIM(COALESCE(event.email, ''))),
        EPOCH_US(occurred_at), COALESCE(event.link, '')
    ) AS key_parts,
    event.email AS email,
    message_id,
    object_text(event."X-Mailin-custom") AS metadata,
    event.link AS url,
    event.user_agent AS user_agent,
    CONTAINS(name, 'proxy_open') AS is_flagged,
    CASE
        WHEN name IN ('hard_bounce', 'invalid_email') THEN 'hard'
        WHEN name IN ('soft_bounce', 'deferred') THEN 'soft'
        WHEN name = 'bounces' THEN 'undetermined'
    END AS bounce_class,
    CASE
        WHEN name IN ('hard_bounce', 'soft_bounce', 'bounces') THEN 'bounced'
        WHEN name = 'invalid_email' THEN 'invalid'
        WHEN name = 'blocked' THEN 'blocked'
        WHEN name IN ('spam', 'complaint') THEN 'spam'
    END AS reject_reason,
    -- Brevo puts a word of its own before the server's reply: "RecipientError: 550 5.5.0 ...".
    REGEXP_EXTRACT(event.reason, '^\s*(?:\w+:\s*)?([245]\d\d)(?:\D|$)', 1) AS smtp_code,
    event.reason AS mta_response,
    name = 'blocked' AS is_suppressed,
    COALESCE(NULLIF(event.tags, '[]'), event.tag) AS tags
FROM named
