-- events: the narrow columns of a landed slice's events.
--
-- Grain   one row per event_key of the slice
-- Reads   landed_events
SELECT
    source,
    load_date,
    event_key,
    identity_key,
    event_type,
    occurred_at,
    is_machine,
    machine_reason,
    channel,
    bounce_class,
    is_suppressed,
    link_host,
    link_key,
    link_channel,
    is_opt_out_link
FROM landed_events
ORDER BY identity_key NULLS LAST, event_key NULLS LAST
