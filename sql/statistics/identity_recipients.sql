-- identity_recipients: the recipient to whom the events of an identity belong.
--
-- Grain   one row per identity_key that matches a recipient of the latest registry; complete for recipients in scope
-- Reads   identity_candidates, recipients
-- Params  those of identity_candidates
-- Counts  three rules, of which the first match wins: the recipient id; the message id; the certificate id with the
--         address. If several recipients share a message id, the event's address decides among them; if it matches none
--         or several of them, the third rule applies
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

unshared_messages AS (
    SELECT
        message_id,
        MIN(recipient_id) AS recipient_id
    FROM recipients
    WHERE message_id IN (SELECT candidate_identities.message_id FROM candidate_identities)
    GROUP BY message_id
    HAVING COUNT(*) = 1
),

message_addresses AS (
    SELECT
        message_id,
        address_hash,
        MIN(recipient_id) AS recipient_id
    FROM recipients
    WHERE message_id IN (SELECT candidate_identities.message_id FROM candidate_identities)
    GROUP BY message_id, address_hash
    HAVING COUNT(*) = 1
),

certificate_addresses AS (
    SELECT
        certificate_id,
        address_hash,
        MIN(recipient_id) AS recipient_id
    FROM recipients
    WHERE certificate_id IN (SELECT candidate_identities.certificate_id FROM candidate_identities)
    GROUP BY certificate_id, address_hash
),

matches AS (
    SELECT
        candidate_identities.identity_key,
        COALESCE(
            recipients.recipient_id,
            unshared_messages.recipient_id,
            message_addresses.recipient_id,
            certificate_addresses.recipient_id
        ) AS recipient_id
    FROM candidate_identities
    LEFT JOIN recipients
        ON candidate_identities.recipient_id = recipients.recipient_id
    LEFT JOIN unshared_messages
        ON candidate_identities.message_id = unshared_messages.message_id
    LEFT JOIN message_addresses
        ON
            candidate_identities.message_id = message_addresses.message_id
            AND candidate_identities.address_hash = message_addresses.address_hash
    LEFT JOIN certificate_addresses
        ON
            candidate_identities.certificate_id = certificate_addresses.certificate_id
            AND candidate_identities.address_hash = certificate_addresses.address_hash
)

SELECT
    identity_key,
    recipient_id
FROM matches
WHERE recipient_id IS NOT NULL
