-- identity_candidates: the recipients in scope that a rule of attribution could match to an identity.
--
-- Grain   one row per identity_key and recipient
-- Reads   asked_identities, recipients, scoped_certificates
-- Params  period_end TIMESTAMP, the first instant that does not count; and those of asked_identities and of scoped_certificates
-- Counts  every recipient that one of the three rules finds; identity_recipients decides among them. This keeps the cost
--         of a query proportional to the certificates, slices or changed recipients that it is about. The recipients are
--         those of scoped_recipients, whose other columns would be copied for each query
SELECT
    asked_identities.identity_key,
    asked_identities.recipient_id,
    asked_identities.certificate_id,
    asked_identities.message_id,
    asked_identities.address_hash,
    recipients.recipient_id AS candidate_recipient_id,
    recipients.certificate_id AS candidate_certificate_id
FROM asked_identities
INNER JOIN recipients
    ON asked_identities.recipient_id = recipients.recipient_id
INNER JOIN scoped_certificates
    ON recipients.certificate_id = scoped_certificates.certificate_id
WHERE recipients.created_at < :period_end
UNION
SELECT
    asked_identities.identity_key,
    asked_identities.recipient_id,
    asked_identities.certificate_id,
    asked_identities.message_id,
    asked_identities.address_hash,
    recipients.recipient_id AS candidate_recipient_id,
    recipients.certificate_id AS candidate_certificate_id
FROM asked_identities
INNER JOIN recipients
    ON asked_identities.message_id = recipients.message_id
INNER JOIN scoped_certificates
    ON recipients.certificate_id = scoped_certificates.certificate_id
WHERE recipients.created_at < :period_end
UNION
SELECT
    asked_identities.identity_key,
    asked_identities.recipient_id,
    asked_identities.certificate_id,
    asked_identities.message_id,
    asked_identities.address_hash,
    recipients.recipient_id AS candidate_recipient_id,
    recipients.certificate_id AS candidate_certificate_id
FROM asked_identities
INNER JOIN recipients
    ON
        asked_identities.certificate_id = recipients.certificate_id
        AND asked_identities.address_hash = recipients.address_hash
INNER JOIN scoped_certificates
    ON recipients.certificate_id = scoped_certificates.certificate_id
WHERE recipients.created_at < :period_end
