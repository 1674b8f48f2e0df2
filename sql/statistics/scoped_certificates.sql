-- scoped_certificates: the certificates that the parameters select.
--
-- Grain   one row per certificate of the latest registry that every given parameter selects
-- Reads   certificates, stale_certificates
-- Params  issuer_id VARCHAR or NULL for all, certificate_id VARCHAR or NULL for all, only_stale BOOLEAN
SELECT
    certificate_id,
    issuer_id,
    name,
    kind,
    created_at
FROM certificates
WHERE
    (:issuer_id IS NULL OR issuer_id = :issuer_id)
    AND (:certificate_id IS NULL OR certificate_id = :certificate_id)
    AND (:only_stale = FALSE OR certificate_id IN (SELECT stale_certificates.certificate_id FROM stale_certificates))
