-- identity_candidates: the recipients in scope that a rule of attribution could match to an identity.
--
-- Grain   one row per identity_key and recipient
-- Reads   asked_identities, scoped_recipients
-- Params  those of asked_identities and of scoped_recipients
-- Counts  every recipient that one of the three rules finds; identity_recipients decides among them. This keeps the cost
--         of a query proportional to the certificates, slices or changed recipients that it is about
SELECT
    asked_identities.identity_key,
    asked_identities.recipient_id,
    asked_identities.certificate_id,
    asked_identities.message_id,
    asked_identities.address_hash,
    scoped_recipients.recipient_id AS candidate_recipient_id,
    scoped_recipients.certificate_id AS candidate_certificate_id
FROM asked_identities
INNER JOIN scoped_recipients
    ON asked_identities.recipient_id = scoped_recipients.recipient_id
UNION
SELECT
    asked_identities.identity_key,
    asked_identities.recipient_id,
    asked_identities.certificate_id,
    asked_identities.message_id,
    asked_identities.address_hash,
    scoped_recipients.recipient_id AS candidate_recipient_id,
    scoped_recipients.certificate_id AS candidate_certificate_id
FROM asked_identities
INNER JOIN scoped_recipients
    ON asked_identities.message_id = scoped_recipients.message_id
UNION
SELECT
    asked_identities.identity_key,
    asked_identities.recipient_id,
    asked_identities.certificate_id,
    asked_identities.message_id,
    asked_identities.address_hash,
    scoped_recipients.recipient_id AS candidate_recipient_id,
    scoped_recipients.certificate_id AS candidate_certificate_id
FROM asked_identities
INNER JOIN scoped_recipients
    ON
        asked_identities.certificate_id = scoped_recipients.certificate_id
        AND asked_identities.address_hash = scoped_recipients.address_hash
