-- certificates: the registry's certificates and badges, each with the reason why it is left out, if any.
--
-- Grain   one row per row of certificates.csv
-- Reads   raw_certificates, issuers
-- Counts  reason is NULL for the rows that are kept; warning says why a kept row is listed. Of several rows with one id, the
--         first that breaks no other rule is kept. A date without a time is midnight UTC.
WITH typed_certificates AS (
    SELECT
        line,
        unreadable,
        noticed,
        nullif_blank(certificate_id) AS certificate_id,
        nullif_blank(issuer_id) AS issuer_id,
        nullif_blank(name) AS name,
        LOWER(trimmed(kind)) AS kind,
        registry_time(created_at) AS created_at
    FROM raw_certificates
),

checked_certificates AS (
    SELECT
        typed_certificates.line,
        typed_certificates.certificate_id,
        issuers.issuer_id,
        typed_certificates.name,
        typed_certificates.kind,
        typed_certificates.created_at,
        CASE
            WHEN typed_certificates.unreadable IS NOT NULL THEN typed_certificates.unreadable
            WHEN typed_certificates.certificate_id IS NULL THEN 'no certificate_id'
            WHEN issuers.issuer_id IS NULL THEN 'unknown issuer'
            WHEN typed_certificates.name IS NULL THEN 'no name'
            WHEN COALESCE(typed_certificates.kind NOT IN ('certificate', 'badge'), TRUE) THEN 'kind is neither certificate nor badge'
            WHEN typed_certificates.created_at IS NULL THEN bad_time('created_at')
        END AS broken_rule,
        typed_certificates.noticed AS warning
    FROM typed_certificates
    LEFT JOIN issuers
        ON typed_certificates.issuer_id = issuers.issuer_id AND issuers.reason IS NULL
)

SELECT
    * EXCLUDE (broken_rule),
    certificate_id AS id,
    registry_reason(broken_rule, line, certificate_id, 'certificate_id') AS reason
FROM checked_certificates
