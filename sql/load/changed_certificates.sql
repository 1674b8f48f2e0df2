-- changed_certificates: the certificates that differ between the former and the landed registry, or whose recipients differ.
--
-- Grain   one row per certificate, of the former registry or the landed one
-- Reads   certificates, recipients, landed_certificates, landed_recipients
-- Counts  a row that did not change is twice in the union of both registries, so a row that is there once has changed
WITH
certificates_of_both AS (
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

recipients_of_both AS (
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
FROM certificates_of_both
GROUP BY certificate_id, issuer_id, name, kind, created_at
HAVING COUNT(*) = 1
UNION
SELECT certificate_id
FROM recipients_of_both
GROUP BY recipient_id, certificate_id, email, name, message_id, access_email_sent_at, created_at, address_hash
HAVING COUNT(*) = 1
