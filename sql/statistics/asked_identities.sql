-- asked_identities: the identities that the parameters select.
--
-- Grain   one row per slice and identity_key
-- Reads   identities, touched_identities
-- Params  source VARCHAR or NULL for all, load_date DATE or NULL for all, only_touched BOOLEAN
SELECT
    identity_key,
    recipient_id,
    certificate_id,
    message_id,
    address_hash
FROM identities
WHERE
    (:source IS NULL OR source = :source)
    AND (:load_date IS NULL OR load_date = :load_date)
    AND (:only_touched = FALSE OR identity_key IN (SELECT touched_identities.identity_key FROM touched_identities))
