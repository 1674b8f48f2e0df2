-- changed_certificates: the certificates that a landed registry brings, changes or leaves out.
--
-- Grain   one or two rows per certificate, of the former registry or the landed one
-- Reads   certificates, landed_certificates
-- Counts  a row that did not change stands twice in the union of both
WITH
every_certificate AS (
    SELECT
        certificate_id,
        issuer_id,
        name,
        kind,
        created_at
    FROM certificates
    UNION ALL
    SELECT
        certificate_id,
        issuer_id,
        name,
        kind,
        created_at
    FROM landed_certificates
)

SELECT certificate_id
FROM every_certificate
GROUP BY certificate_id, issuer_id, name, kind, created_at
HAVING COUNT(*) = 1
