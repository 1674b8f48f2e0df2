-- changed_certificates: the certificates whose figures a landed registry may move.
--
-- Grain   one row per certificate, of the former registry or the landed one
-- Reads   certificates, recipients, identities, landed_certificates, landed_recipients
-- Counts  certificates that differ, those of recipients that differ, and whoever an identity could match, before or
--         after, that could also match a recipient who differs: a newcomer may take events from somebody else
WITH
every_recipient AS (
    SELECT recipient_id, certificate_id, email, name, message_id, access_email_sent_at, created_at, address_hash
    FROM recipients
    UNION ALL
    SELECT recipient_id, certificate_id, email, name, message_id, access_email_sent_at, created_at, address_hash
    FROM landed_recipients
),

every_certificate AS (
    SELECT certificate_id, issuer_id, name, kind, created_at
    FROM certificates
    UNION ALL
    SELECT certificate_id, issuer_id, name, kind, created_at
    FROM landed_certificates
),

-- A row that did not change stands twice in the union.
changed_recipients AS (
    SELECT recipient_id, certificate_id, message_id, address_hash
    FROM every_recipient
    GROUP BY recipient_id, certificate_id, email, name, message_id, access_email_sent_at, created_at, address_hash
    HAVING COUNT(*) = 1
),

touched_identities AS (
    SELECT identities.recipient_id, identities.certificate_id, identities.message_id, identities.address_hash
    FROM identities
    INNER JOIN changed_recipients
        ON identities.recipient_id = changed_recipients.recipient_id
    UNION
    SELECT identities.recipient_id, identities.certificate_id, identities.message_id, identities.address_hash
    FROM identities
    INNER JOIN changed_recipients
        ON identities.message_id = changed_recipients.message_id
    UNION
    SELECT identities.recipient_id, identities.certificate_id, identities.message_id, identities.address_hash
    FROM identities
    INNER JOIN changed_recipients
        ON
            identities.certificate_id = changed_recipients.certificate_id
            AND identities.address_hash = changed_recipients.address_hash
)

SELECT certificate_id
FROM every_certificate
GROUP BY certificate_id, issuer_id, name, kind, created_at
HAVING COUNT(*) = 1
UNION
SELECT certificate_id
FROM changed_recipients
UNION
SELECT every_recipient.certificate_id
FROM touched_identities
INNER JOIN every_recipient
    ON touched_identities.recipient_id = every_recipient.recipient_id
UNION
SELECT every_recipient.certificate_id
FROM touched_identities
INNER JOIN every_recipient
    ON touched_identities.message_id = every_recipient.message_id
UNION
SELECT every_recipient.certificate_id
FROM touched_identities
INNER JOIN every_recipient
    ON
        touched_identities.certificate_id = every_recipient.certificate_id
        AND touched_identities.address_hash = every_recipient.address_hash
