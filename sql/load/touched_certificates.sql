-- touched_certificates: the certificates whose figures the identities in scope may change.
--
-- Grain   one row per certificate
-- Reads   asked_identities, recipients
-- Params  those of asked_identities
-- Counts  the certificate of every recipient that one of the three rules of attribution could find; a certificate too many
--         costs a little time, one too few leaves a wrong figure
SELECT certificate_id
FROM recipients
WHERE recipient_id IN (SELECT asked_identities.recipient_id FROM asked_identities)
UNION
SELECT certificate_id
FROM recipients
WHERE message_id IN (SELECT asked_identities.message_id FROM asked_identities)
UNION
SELECT recipients.certificate_id
FROM recipients
INNER JOIN asked_identities
    ON
        recipients.certificate_id = asked_identities.certificate_id
        AND recipients.address_hash = asked_identities.address_hash
