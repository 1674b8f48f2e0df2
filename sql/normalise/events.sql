-- events: the events of a slice in the columns of the landing, each event once.
--
-- Grain   one row per event_key
-- Reads   staged, the table repeats
-- Counts  addresses and IPs are left out
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
    ON staged.file_row_number = repeats.staged_row
WHERE staged.outcome = 'event'
