-- certificates: the registry's certificates and badges, classified.
--
-- Grain   one row per row of certificates.csv
-- Reads   raw_certificates, issuers
-- Counts  reason is NULL for the rows that hold; of an id that stands twice the first row that breaks no other rule counts.
--         A date without a time is midnight UTC
WITH read AS (
    SELECT
        line,
        is_malformed,
        nullif_blank(certificate_id) AS certificate_id,
        nullif_blank(issuer_id) AS issuer_id,
        nullif_blank(name) AS name,
        LOWER(TRIM(kind)) AS kind,
        iso_time_or_date(created_at) AS created_at
    FROM raw_certificates
),

checked AS (
    SELECT
        read.line,
        read.certificate_id,
        issuers.issuer_id,
        read.name,
        read.kind,
        read.created_at,
        CASE
            WHEN read.is_malformed THEN 'not the columns of the header'
            WHEN read.certificate_id IS NULL THEN 'no certificate_id'
            WHEN issuers.issuer_id IS NULL THEN 'unknown issuer'
            WHEN read.name IS NULL THEN 'no name'
            WHEN COALESCE(read.kind NOT IN ('certificate', 'badge'), TRUE) THEN 'kind is neither certificate nor badge'
            WHEN read.created_at IS NULL THEN 'bad created_at'
        END AS broken_rule
    FROM read
    LEFT JOIN issuers
        ON read.issuer_id = issuers.issuer_id AND issuers.reason IS NULL
)

SELECT
    * EXCLUDE (broken_rule),
    certificate_id AS id,
    registry_reason(broken_rule, line, certificate_id, 'certificate_id') AS reason
FROM checked
