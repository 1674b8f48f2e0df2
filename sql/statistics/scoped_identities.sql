-- scoped_identities: the identities of the recipients in scope.
--
-- Grain   one row per identity_key that matches a recipient in scope
-- Reads   identity_recipients, scoped_recipients
-- Params  those of scoped_recipients
SELECT
    identity_recipients.identity_key,
    identity_recipients.recipient_id,
    scoped_recipients.certificate_id
FROM identity_recipients
INNER JOIN scoped_recipients
    ON identity_recipients.recipient_id = scoped_recipients.recipient_id
