-- touched_certificates: the certificates whose figures the identities in scope may change.
--
-- Grain   one row per certificate
-- Reads   identity_candidates
-- Params  those of identity_candidates
-- Counts  the certificate of every candidate; a certificate too many costs a little time, one too few leaves a wrong figure
SELECT DISTINCT candidate_certificate_id AS certificate_id
FROM identity_candidates
