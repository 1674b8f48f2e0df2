-- changed_certificates: the certificates that a landed registry adds, changes or removes, or whose recipients it does.
--
-- Grain   one or more rows per certificate, of the former registry or the landed one
-- Reads   certificates, recipients, landed_certificates, landed_recipients
-- Counts  a row that did not change is twice in the union of both registries
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
),

every_recipient AS (
    SELECT
        recipient_id,
        certificate_id,
        email,
        name,
        message_id,
        access_email_sent_at,
        created_at,
        address_hash
    FROM recipients
    UNION ALL
    SELECT
        recipient_id,
        certificate_id,
        email,
        name,
        message_id,
        access_email_sent_at,
        created_at,
        address_hash
    FROM landed_recipients
)

SELECT certificate_id
FROM every_certificate
GROUP BY certificate_id, issuer_id, name, kind, created_at
HAVING COUNT(*) = 1
UNION ALL
SELECT certificate_id
FROM every_recipient
GROUP BY recipient_id, certificate_id, email, name, message_id, access_email_sent_at, created_at, address_hash
HAVING COUNT(*) = 1
