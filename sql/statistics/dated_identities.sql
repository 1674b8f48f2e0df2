-- dated_identities: the identities of the recipients in scope, with the slices in which each has events.
--
-- Grain   one row per slice and identity_key
-- Reads   identities, scoped_identities
-- Params  those of scoped_identities
-- Counts  an engine that joins events by slice, too, reads the slices that the recipients in scope have events in, not all
SELECT
    source,
    load_date,
    identity_key
FROM identities
WHERE identity_key IN (SELECT scoped_identities.identity_key FROM scoped_identities)
