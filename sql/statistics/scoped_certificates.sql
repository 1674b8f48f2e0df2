-- scoped_certificates: the certificates that the parameters select.
--
-- Grain   one row per certificate of the latest registry that every given parameter selects
-- Reads   certificates, stale_certificates
-- Params  issuer_id VARCHAR or NULL for all, certificate_id VARCHAR or NULL for all, only_stale BOOLEAN
-- Counts  joined and not searched by IN, as in asked_identities
WITH listed_certificates AS (
    SELECT DISTINCT certificate_id
    FROM stale_certificates
)

SELECT
    certificates.certificate_id,
    certificates.issuer_id,
    certificates.name,
    certificates.kind,
    certificates.created_at
FROM certificates
LEFT JOIN listed_certificates
    ON
        :only_stale
        AND certificates.certificate_id = listed_certificates.certificate_id
WHERE
    (:issuer_id IS NULL OR certificates.issuer_id = :issuer_id)
    AND (:certificate_id IS NULL OR certificates.certificate_id = :certificate_id)
    AND (NOT :only_stale OR listed_certificates.certificate_id IS NOT NULL)
