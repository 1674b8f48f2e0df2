-- events: the events of a slice as the landing keeps them, each once.
--
-- Grain   one row per event_key
-- Reads   the table staged
-- Counts  of several records with one event_key the first as it stands in the files. No address and no IP
WITH repeated AS (
    SELECT
        event_key,
        MIN(rowid) AS first_row
    FROM staged
    WHERE outcome = 'event'
    GROUP BY event_key
    HAVING COUNT(*) > 1
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
    staged.is_opt_out_link
FROM staged
LEFT JOIN repeated
    ON staged.event_key = repeated.event_key
WHERE
    staged.outcome = 'event'
    AND (repeated.event_key IS NULL OR staged.rowid = repeated.first_row)
