-- unisender_go: Unisender Go's webhook calls, many events at once or a single flat one.
--
-- Grain   one row per event
-- Reads   records
-- Counts  only the status of an email is ours, other event names are ignored. Times name no zone: they are UTC. There is no id of
--         an event. A soft bounce is tried again. Where sending was cancelled (skip_*, err_skip_letter, err_spam_skipped,
--         err_spam_removed, err_unsubscribed) the provider did not try. godocs.unisender.ru/web-api-ref#callback-format
WITH opened AS (
    SELECT
        file,
        document,
        record,
        TRY(JSON_TRANSFORM(record, '{"events_by_user": [{"events": ["JSON"]}]}')).events_by_user AS users
    FROM records
),

unwrapped AS (
    SELECT
        file,
        document,
        UNNEST(
            CASE
                WHEN users IS NULL THEN [record]
                ELSE CAST(FLATTEN(LIST_TRANSFORM(users, LAMBDA batch: batch.events)) AS VARCHAR[])
            END
        ) AS record
    FROM opened
),

parsed AS (
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
    FROM unwrapped
),

named AS (
    SELECT
        *,
        event.event_data AS facts,
        LOWER(TRIM(event.event_data.status)) AS name,
        COALESCE(event.event_data.delivery_info.delivery_status, '') AS delivery_status
    FROM parsed
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    COALESCE(COALESCE(event.event_name, facts.event_name) != 'transactional_email_status', FALSE) AS is_ignored,
    CASE name
        WHEN 'sent' THEN 'sent'
        WHEN 'soft_bounced' THEN 'deferred'
        WHEN 'delivered' THEN 'delivered'
        WHEN 'hard_bounced' THEN 'bounced'
        WHEN 'opened' THEN 'opened'
        WHEN 'clicked' THEN 'clicked'
        WHEN 'spam' THEN 'complained'
        WHEN 'unsubscribed' THEN 'unsubscribed'
        WHEN 'subscribed' THEN 'subscribed'
        ELSE CASE WHEN nullif_blank(name) IS NOT NULL THEN 'unknown' END
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
        WHEN delivery_status IN ('err_spam_rejected', 'err_spam_skipped', 'err_spam_removed') THEN 'spam'
        WHEN delivery_status = 'err_blacklisted' THEN 'blocked'
        WHEN delivery_status = 'err_unsubscribed' THEN 'unsubscribed'
        WHEN delivery_status IN ('err_delivery_failed', 'err_lost', 'err_internal') THEN 'other'
        ELSE 'bounced'
    END AS reject_reason,
    facts.delivery_info.destination_response AS mta_response,
    STARTS_WITH(delivery_status, 'skip_')
        OR delivery_status IN ('err_skip_letter', 'err_spam_skipped', 'err_spam_removed', 'err_unsubscribed') AS is_suppressed
FROM named
