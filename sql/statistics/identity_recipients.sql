-- identity_recipients: whose events carry an identity.
--
-- Grain   one row per identity_key that matches a recipient of the latest registry; complete for recipients in scope
-- Reads   identity_candidates, recipients
-- Params  those of identity_candidates
-- Counts  three rules, the first match wins: the recipient id; the message id; the certificate id with the address.
--         A message id that several recipients share is decided by the event's address; where that leaves none, or
--         several, the third rule is asked
WITH
candidate_identities AS (
    SELECT DISTINCT
        identity_key,
        recipient_id,
        certificate_id,
        message_id,
        address_hash
    FROM identity_candidates
),

sole_messages AS (
    SELECT
        message_id,
        MIN(recipient_id) AS recipient_id
    FROM recipients
    WHERE message_id IS NOT NULL
    GROUP BY message_id
    HAVING COUNT(*) = 1
),

addressed_messages AS (
    SELECT
        message_id,
        address_hash,
        MIN(recipient_id) AS recipient_id
    FROM recipients
    WHERE message_id IS NOT NULL
    GROUP BY message_id, address_hash
    HAVING COUNT(*) = 1
),

addressed_certificates AS (
    SELECT
        certificate_id,
        address_hash,
        MIN(recipient_id) AS recipient_id
    FROM recipients
    GROUP BY certificate_id, address_hash
),

matches AS (
    SELECT
        candidate_identities.identity_key,
        COALESCE(
            recipients.recipient_id,
            sole_messages.recipient_id,
            addressed_messages.recipient_id,
            addressed_certificates.recipient_id
        ) AS recipient_id
    FROM candidate_identities
    LEFT JOIN recipients
        ON candidate_identities.recipient_id = recipients.recipient_id
    LEFT JOIN sole_messages
        ON candidate_identities.message_id = sole_messages.message_id
    LEFT JOIN addressed_messages
        ON
            candidate_identities.message_id = addressed_messages.message_id
            AND candidate_identities.address_hash = addressed_messages.address_hash
    LEFT JOIN addressed_certificates
        ON
            candidate_identities.certificate_id = addressed_certificates.certificate_id
            AND candidate_identities.address_hash = addressed_certificates.address_hash
)

SELECT
    identity_key,
    recipient_id
FROM matches
WHERE recipient_id IS NOT NULL
