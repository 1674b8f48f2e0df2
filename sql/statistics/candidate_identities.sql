-- candidate_identities: the identities that some rule of attribution could give to a recipient in scope.
--
-- Grain   one row per identity_key
-- Reads   identities, scoped_recipients
-- Params  those of scoped_recipients
-- Counts  only narrows what identity_recipients looks at: a question about one certificate costs what that has
SELECT
    identities.identity_key,
    identities.recipient_id,
    identities.certificate_id,
    identities.message_id,
    identities.address_hash
FROM identities
INNER JOIN scoped_recipients
    ON identities.recipient_id = scoped_recipients.recipient_id
UNION
SELECT
    identities.identity_key,
    identities.recipient_id,
    identities.certificate_id,
    identities.message_id,
    identities.address_hash
FROM identities
INNER JOIN scoped_recipients
    ON identities.message_id = scoped_recipients.message_id
UNION
SELECT
    identities.identity_key,
    identities.recipient_id,
    identities.certificate_id,
    identities.message_id,
    identities.address_hash
FROM identities
INNER JOIN scoped_recipients
    ON
        identities.certificate_id = scoped_recipients.certificate_id
        AND identities.address_hash = scoped_recipients.address_hash
