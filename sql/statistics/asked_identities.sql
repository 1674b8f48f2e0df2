-- asked_identities: the identities that the parameters select.
--
-- Grain   one row per slice and identity_key
-- Reads   identities, touched_identities
-- Params  source VARCHAR or NULL for all, load_date DATE or NULL for all, only_touched BOOLEAN
-- Counts  joined and not searched by IN, because beside OR PostgreSQL would read all touched identities for each identity
WITH listed_identities AS (
    SELECT DISTINCT identity_key
    FROM touched_identities
)

SELECT
    identities.identity_key,
    identities.recipient_id,
    identities.certificate_id,
    identities.message_id,
    identities.address_hash
FROM identities
LEFT JOIN listed_identities
    ON
        :only_touched
        AND identities.identity_key = listed_identities.identity_key
WHERE
    (:source IS NULL OR identities.source = :source)
    AND (:load_date IS NULL OR identities.load_date = :load_date)
    AND (NOT :only_touched OR listed_identities.identity_key IS NOT NULL)
