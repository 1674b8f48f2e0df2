-- certificates: the registry's certificates and badges, judged.
--
-- Grain   one row per row of certificates.csv
-- Counts  reason is NULL for the rows that hold; of an id that stands twice the first row counts
SELECT
    raw_certificates.line,
    told(raw_certificates.certificate_id) AS certificate_id,
    issuers.issuer_id,
    told(raw_certificates.name) AS name,
    LOWER(TRIM(raw_certificates.kind)) AS kind,
    iso_time(raw_certificates.created_at) AS created_at,
    told(raw_certificates.certificate_id) AS id,
    CASE
        WHEN raw_certificates.is_malformed THEN 'not the columns of the header'
        WHEN told(raw_certificates.certificate_id) IS NULL THEN 'no certificate_id'
        WHEN issuers.issuer_id IS NULL THEN 'unknown issuer'
        WHEN told(raw_certificates.name) IS NULL THEN 'no name'
        WHEN COALESCE(LOWER(TRIM(raw_certificates.kind)) NOT IN ('certificate', 'badge'), TRUE) THEN 'kind is neither certificate nor badge'
        WHEN iso_time(raw_certificates.created_at) IS NULL THEN 'bad created_at'
        WHEN raw_certificates.line > MIN(raw_certificates.line) OVER (PARTITION BY told(raw_certificates.certificate_id))
            THEN 'duplicate certificate_id'
    END AS reason
FROM raw_certificates
LEFT JOIN issuers
    ON told(raw_certificates.issuer_id) = issuers.issuer_id AND issuers.reason IS NULL
