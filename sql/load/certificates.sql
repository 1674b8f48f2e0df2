-- certificates: the certificates and badges of the landed registry.
--
-- Grain   one row per certificate or badge
-- Reads   landed_certificates
SELECT
    certificate_id,
    issuer_id,
    name,
    kind,
    created_at
FROM landed_certificates
ORDER BY certificate_id NULLS LAST
