-- identity_events: the events of the identities in scope.
--
-- Grain   one row per event and slice; an event that came in several slices has several rows
-- Reads   events, scoped_identities
-- Params  those of scoped_identities
SELECT
    identity_key,
    event_type,
    occurred_at,
    is_machine,
    machine_reason,
    channel,
    is_suppressed,
    link_host,
    link_key,
    link_channel,
    is_opt_out_link
FROM events
WHERE identity_key IN (SELECT scoped_identities.identity_key FROM scoped_identities)
