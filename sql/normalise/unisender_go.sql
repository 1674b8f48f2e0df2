-- unisender_go: Unisender Go's webhook calls, with many events at once or a single flat one.
--
-- Grain   one row per event
-- Reads   records
-- Counts  a batch without events is a record that the format rejects. Events with another name than transactional_email_status
--         are ignored. Times have no zone and are UTC. Events have no
--         id. A soft bounce is deferred, because it is tried again. The provider did not try where it cancelled sending (skip_*,
--         err_skip_letter, err_spam_skipped, err_spam_removed, err_unsubscribed).
--         godocs.unisender.ru/web-api-ref#callback-format
WITH batches AS (
    SELECT
        file,
        document,
        record,
        TRY(JSON_TRANSFORM(record, '{"events_by_user": [{"events": ["JSON"]}]}')).events_by_user AS users
    FROM records
),

payloads AS (
    SELECT
        file,
        document,
        UNNEST(
            CASE
                WHEN users IS NULL THEN [record]
                ELSE CAST(FLATTEN(LIST_TRANSFORM(users, LAMBDA batch: COALESCE(batch.events, [record]))) AS VARCHAR[])
            END
        ) AS record
    FROM batches
),

parsed_events AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(
            CASE WHEN REGEXP_MATCHES(record, '"event_data"\s*:') THEN record ELSE '{"event_data": ' || record || '}' END,
            '{
                "event_name": "VARCHAR",
                "event_data": {
                    "event_name": "VARCHAR", "status": "VARCHAR", "email": "VARCHAR", "job_id": "VARCHAR", "metadata": "VARCHAR",
                    "url": "VARCHAR", "event_time": "VARCHAR",
                    "delivery_info": {"delivery_status": "VARCHAR", "destination_response": "VARCHAR", "user_agent": "VARCHAR"}
                }
            }'
        )) AS event
    FROM payloads
),

named_events AS (
    SELECT
        *,
        event.event_data AS facts,
        LOWER(TRIM(event.event_data.status)) AS name,
        COALESCE(event.event_data.delivery_info.delivery_status, '') AS delivery_status
    FROM parsed_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    COALESCE(COALESCE(event.event_name, facts.event_name) != 'transactional_email_status', FALSE) AS is_ignored,
    CASE
        WHEN nullif_blank(name) IS NOT NULL THEN COALESCE(MAP {
            'sent': 'sent',
            'soft_bounced': 'deferred',
            'delivered': 'delivered',
            'hard_bounced': 'bounced',
            'opened': 'opened',
            'clicked': 'clicked',
            'spam': 'complained',
            'unsubscribed': 'unsubscribed',
            'subscribed': 'subscribed'
        }[name], 'unknown')
    END AS event_type,
    iso_time(facts.event_time) AS occurred_at,
    CONCAT_WS(
        '|', name, COALESCE(facts.job_id, ''), LOWER(TRIM(COALESCE(facts.email, ''))), facts.event_time, COALESCE(facts.url, '')
    ) AS key_parts,
    facts.email AS email,
    facts.job_id AS message_id,
    object_text(facts.metadata) AS metadata,
    facts.url AS url,
    facts.delivery_info.user_agent AS user_agent,
    CASE
        WHEN name = 'soft_bounced' THEN 'soft'
        WHEN name != 'hard_bounced' THEN NULL
        WHEN delivery_status IN ('err_spam_rejected', 'err_spam_skipped', 'err_spam_removed', 'err_blacklisted') THEN 'block'
        ELSE 'hard'
    END AS bounce_class,
    CASE
        WHEN name = 'spam' THEN 'spam'
        WHEN name != 'hard_bounced' THEN NULL
        ELSE COALESCE(MAP {
            'err_spam_rejected': 'spam',
            'err_spam_skipped': 'spam',
            'err_spam_removed': 'spam',
            'err_blacklisted': 'blocked',
            'err_unsubscribed': 'unsubscribed',
            'err_delivery_failed': 'other',
            'err_lost': 'other',
            'err_internal': 'other'
        }[delivery_status], 'bounced')
    END AS reject_reason,
    facts.delivery_info.destination_response AS mta_response,
    STARTS_WITH(delivery_status, 'skip_')
        OR delivery_status IN ('err_skip_letter', 'err_spam_skipped', 'err_spam_removed', 'err_unsubscribed') AS is_suppressed
FROM named_events
