-- touched_identities: the identities that a recipient of a stale certificate could match.
--
-- Grain   one row per identity_key
-- Reads   identity_candidates
-- Params  those of identity_candidates
SELECT DISTINCT identity_key
FROM identity_candidates
