-- mandrill: Mailchimp Transactional's (Mandrill's) webhooks, as form posts or as the JSON inside them.
--
-- Grain   one row per record
-- Reads   records
-- Counts  events have no id, so a hash is the key. Each event lists all opens and clicks of its message so far, which are not
--         counted again. A sync of the reject lists has a type and no event, so its type is unknown.
--         mailchimp.com/developer/transactional/docs/webhooks
WITH posts AS (
    SELECT
        file,
        document,
        CASE
            WHEN is_form(record) THEN LIST_FILTER(form_fields(record), lambda field : field.key = 'mandrill_events')[1].value
            WHEN CONTAINS(record, '"mandrill_events"') THEN COALESCE(TRY(record ->> '$.mandrill_events'), record)
            ELSE record
        END AS post,
        record AS posted
    FROM records
),

payloads AS (
    SELECT
        file,
        document,
        UNNEST(
            CASE
                WHEN STARTS_WITH(LTRIM(post), '[') THEN COALESCE(CAST(TRY(JSON_TRANSFORM(post, '["JSON"]')) AS VARCHAR[]), [posted])
                ELSE [posted]
            END
        ) AS record
    FROM posts
),

parsed_events AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(record, '{
            "event": "VARCHAR", "type": "VARCHAR", "_id": "VARCHAR", "ts": "VARCHAR", "url": "VARCHAR", "ip": "VARCHAR",
            "user_agent": "VARCHAR", "reject": {"email": "VARCHAR"},
            "msg": {
                "_id": "VARCHAR", "email": "VARCHAR", "tags": "VARCHAR", "metadata": "VARCHAR", "diag": "VARCHAR", "reject": "VARCHAR"
            }
        }')) AS event
    FROM payloads
),

named_events AS (
    SELECT
        *,
        LOWER(COALESCE(nullif_blank(event.event), nullif_blank(event.type))) AS name,
        LOWER(event.msg.reject) AS refusal,
        COALESCE(event._id, event.msg._id) AS message_id,
        COALESCE(event.msg.email, event.reject.email) AS email,
        epoch_time(event.ts, 1000000) AS occurred_at
    FROM parsed_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    FALSE AS is_ignored,
    CASE
        WHEN name IS NOT NULL THEN COALESCE(MAP {
            'send': 'sent',
            'deferral': 'deferred',
            'delivered': 'delivered',
            'hard_bounce': 'bounced',
            'soft_bounce': 'bounced',
            'reject': 'rejected',
            'open': 'opened',
            'click': 'clicked',
            'spam': 'complained',
            'unsub': 'unsubscribed'
        }[name], 'unknown')
    END AS event_type,
    occurred_at,
    CONCAT_WS(
        '|', name, COALESCE(message_id, LOWER(email), ''), EPOCH_US(occurred_at), COALESCE(event.url, ''), COALESCE(event.ip, '')
    ) AS key_parts,
    email,
    message_id,
    object_text(event.msg.metadata) AS metadata,
    event.url AS url,
    event.user_agent AS user_agent,
    MAP_EXTRACT_VALUE(MAP {
        'hard_bounce': 'hard',
        'soft_bounce': 'soft',
        'deferral': 'soft'
    }, name) AS bounce_class,
    CASE
        WHEN name = 'spam' THEN 'spam'
        WHEN name IN ('hard_bounce', 'soft_bounce') THEN 'bounced'
        WHEN name != 'reject' THEN NULL
        WHEN CONTAINS(refusal, 'bounce') THEN 'bounced'
        WHEN CONTAINS(refusal, 'spam') THEN 'spam'
        WHEN CONTAINS(refusal, 'unsub') THEN 'unsubscribed'
        WHEN CONTAINS(refusal, 'invalid') THEN 'invalid'
        ELSE 'other'
    END AS reject_reason,
    event.msg.diag AS mta_response,
    name = 'reject' AND COALESCE(REGEXP_MATCHES(refusal, 'bounce|spam|unsub|custom|rule'), FALSE) AS is_suppressed,
    event.msg.tags AS tags
FROM named_events
