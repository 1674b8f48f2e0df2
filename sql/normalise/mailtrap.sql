-- mailtrap: Mailtrap's webhook batches, as JSON or as JSON lines.
--
-- Grain   one row per event
-- Reads   records
-- Counts  a soft bounce and a suspension (of an unverified domain) are deferred, because Mailtrap tries again. It never tried a
--         rejected mail: the recipient is on the suppression list, or the domain is still unverified. A bounce because of the
--         mail or its sender is a block, a bounce because of a passing state is soft. A category is a tag.
--         docs.mailtrap.io/email-api-smtp/webhooks, docs.mailtrap.io/email-api-smtp/analytics/statuses-and-events,
--         docs.mailtrap.io/email-api-smtp/bounce-categorization
WITH payloads AS (
    SELECT
        file,
        document,
        UNNEST(members(record, 'events')) AS record
    FROM records
),

parsed_events AS (
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
    FROM payloads
),

named_events AS (
    SELECT
        *,
        LOWER(TRIM(event.event)) AS name,
        LOWER(event.bounce_category) AS category
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
            'soft bounce': 'deferred',
            'soft_bounce': 'deferred',
            'suspension': 'deferred',
            'delivery': 'delivered',
            'bounce': 'bounced',
            'reject': 'rejected',
            'open': 'opened',
            'click': 'clicked',
            'spam': 'complained',
            'unsubscribe': 'unsubscribed'
        }[name], 'unknown')
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
        WHEN category IN ('transientfail', 'greylisting', 'timeout', 'overquota') THEN 'soft'
        ELSE 'hard'
    END AS bounce_class,
    MAP_EXTRACT_VALUE(MAP {
        'bounce': 'bounced',
        'reject': 'blocked',
        'spam': 'spam'
    }, name) AS reject_reason,
    event.response_code AS smtp_code,
    event.response AS mta_response,
    name = 'reject' AS is_suppressed,
    event.category AS tags
FROM named_events
