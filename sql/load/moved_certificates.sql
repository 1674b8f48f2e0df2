-- moved_certificates: the certificates whose recipients or events a landed registry may move.
--
-- Grain   one row per certificate, of the former registry or the landed one
-- Reads   recipients, identities, landed_recipients
-- Counts  those of recipients that differ; and of everybody, before or after, whom an identity could match that could
--         also match a recipient who differs, since a newcomer may take events from somebody else
WITH
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
),

-- A row that did not change stands twice in the union.
changed_recipients AS (
    SELECT
        recipient_id,
        certificate_id,
        message_id,
        address_hash
    FROM every_recipient
    GROUP BY recipient_id, certificate_id, email, name, message_id, access_email_sent_at, created_at, address_hash
    HAVING COUNT(*) = 1
),

touched_identities AS (
    SELECT identities.identity_key
    FROM identities
    INNER JOIN changed_recipients
        ON identities.recipient_id = changed_recipients.recipient_id
    UNION
    SELECT identities.identity_key
    FROM identities
    INNER JOIN changed_recipients
        ON identities.message_id = changed_recipients.message_id
    UNION
    SELECT identities.identity_key
    FROM identities
    INNER JOIN changed_recipients
        ON
            identities.certificate_id = changed_recipients.certificate_id
            AND identities.address_hash = changed_recipients.address_hash
),

touched AS (
    SELECT DISTINCT
        identities.recipient_id,
        identities.certificate_id,
        identities.message_id,
        identities.address_hash
    FROM identities
    INNER JOIN touched_identities
        ON identities.identity_key = touched_identities.identity_key
)

SELECT certificate_id
FROM changed_recipients
UNION
SELECT every_recipient.certificate_id
FROM touched
INNER JOIN every_recipient
    ON touched.recipient_id = every_recipient.recipient_id
UNION
SELECT every_recipient.certificate_id
FROM touched
INNER JOIN every_recipient
    ON touched.message_id = every_recipient.message_id
UNION
SELECT every_recipient.certificate_id
FROM touched
INNER JOIN every_recipient
    ON
        touched.certificate_id = every_recipient.certificate_id
        AND touched.address_hash = every_recipient.address_hash
