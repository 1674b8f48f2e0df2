-- events: the events of a slice as the landing keeps them, each once.
--
-- Grain   one row per event_key
-- Reads   the table staged
-- Counts  of several records with one event_key the earliest, and of those the same one however the records stand in the
--         files. No address and no IP
WITH repeated AS (
    SELECT event_key
    FROM staged
    WHERE outcome = 'event'
    GROUP BY event_key
    HAVING COUNT(*) > 1
),

ranked AS (
    SELECT
        staged.rowid AS staged_row,
        ROW_NUMBER() OVER (
            PARTITION BY staged.event_key
            ORDER BY staged.occurred_at, ROW(*COLUMNS(staged.* EXCLUDE (file)))
        ) AS place
    FROM staged
    SEMI JOIN repeated
        ON staged.event_key = repeated.event_key
    WHERE staged.outcome = 'event'
),

repeats AS (
    SELECT staged_row
    FROM ranked
    WHERE place > 1
)

SELECT
    staged.event_key,
    GETVARIABLE('source') AS source,
    GETVARIABLE('load_date') AS load_date,
    staged.event_type,
    staged.occurred_at,
    staged.recipient_id,
    staged.certificate_id,
    staged.message_id,
    staged.channel,
    staged.url,
    staged.user_agent,
    staged.bounce_class,
    staged.reject_reason,
    staged.smtp_code,
    staged.enhanced_code,
    staged.mta_response,
    staged.is_machine,
    staged.machine_reason,
    staged.is_suppressed,
    staged.tags,
    staged.metadata,
    staged.address_hash,
    staged.identity_key,
    staged.link_host,
    staged.link_key,
    staged.link_channel,
    staged.is_opt_out_link
FROM staged
ANTI JOIN repeats
    ON staged.rowid = repeats.staged_row
WHERE staged.outcome = 'event'
