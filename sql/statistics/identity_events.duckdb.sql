-- identity_events: the events of the identities in scope.
--
-- Grain   one row per event and slice; an event that came in several slices has several rows
-- Reads   events, identities, scoped_identities
-- Params  those of scoped_identities
-- Counts  the same rows as on other engines. Joined by slice, too, DuckDB skips the slices in which no identity in scope has
--         events, so the cost does not grow with the history. PostgreSQL expects too few rows of such a join, and plans badly
WITH dated_identities AS (
    SELECT
        source,
        load_date,
        identity_key
    FROM identities
    WHERE identity_key IN (SELECT scoped_identities.identity_key FROM scoped_identities)
)

SELECT
    events.identity_key,
    events.event_type,
    events.occurred_at,
    events.is_machine,
    events.machine_reason,
    events.channel,
    events.is_suppressed,
    events.link_host,
    events.link_key,
    events.link_channel,
    events.is_opt_out_link
FROM events
INNER JOIN dated_identities
    ON
        events.load_date = dated_identities.load_date
        AND events.source = dated_identities.source
        AND events.identity_key = dated_identities.identity_key
