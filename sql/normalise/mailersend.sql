-- mailersend: MailerSend's webhooks of both versions and pages of its activity API.
--
-- Grain   one row per event; a row of a page has the form of data in a webhook of version 1
-- Reads   records
-- Counts  version 1 (until 2026-12) nests the mail and the recipient. Version 2 names them flat and has the time beside data.
--         The event's type is read, because the mail's status says less. MailerSend sends no metadata, and no user agent in
--         version 1.
--         developers.mailersend.com/api/v1/account/webhooks, developers.mailersend.com/api/v1/activity
WITH payloads AS (
    SELECT
        file,
        document,
        UNNEST(members(record, 'data')) AS record
    FROM records
),

parsed_events AS (
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
    FROM payloads
),

named_events AS (
    SELECT
        *,
        LOWER(COALESCE(nullif_blank(event.data.type), REGEXP_REPLACE(event.type, '^activity\.', ''))) AS name,
        COALESCE(nullif_blank(event.data.created_at), event.created_at) AS moment,
        COALESCE(event.data.email.recipient.email, event.data.recipient) AS email,
        COALESCE(event.data.email.message.id, event.data.message_id) AS message_id,
        COALESCE(event.data.morph.url, event.data.meta.url) AS url
    FROM parsed_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    FALSE AS is_ignored,
    CASE
        WHEN nullif_blank(name) IS NOT NULL THEN COALESCE(MAP {
            'sent': 'sent',
            'deferred': 'deferred',
            'delivered': 'delivered',
            'soft_bounced': 'bounced',
            'hard_bounced': 'bounced',
            'suppressed': 'rejected',
            'opened': 'opened',
            'clicked': 'clicked',
            'spam_complaint': 'complained',
            'spam_complaints': 'complained',
            'unsubscribed': 'unsubscribed'
        }[name], 'unknown')
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
    MAP_EXTRACT_VALUE(MAP {
        'hard_bounced': 'hard',
        'soft_bounced': 'soft',
        'deferred': 'soft'
    }, name) AS bounce_class,
    MAP_EXTRACT_VALUE(MAP {
        'soft_bounced': 'bounced',
        'hard_bounced': 'bounced',
        'suppressed': 'blocked',
        'spam_complaint': 'spam',
        'spam_complaints': 'spam'
    }, name) AS reject_reason,
    event.data.meta.bounce_code AS smtp_code,
    CASE
        WHEN name IN ('soft_bounced', 'hard_bounced', 'deferred')
            THEN COALESCE(event.data.morph.reason, event.data.meta.bounce_reason)
    END AS mta_response,
    name = 'suppressed' AS is_suppressed,
    COALESCE(event.data.email.tags, event.data.tags) AS tags
FROM named_events
