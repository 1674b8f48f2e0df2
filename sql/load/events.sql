-- events: the narrow columns of the events of landed slices.
--
-- Grain   one row per event_key of a slice
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
ORDER BY source NULLS LAST, load_date NULLS LAST, identity_key NULLS LAST, event_key NULLS LAST
