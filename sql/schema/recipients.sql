-- recipients: the recipients and their certificates. Only this table has recipients' plain addresses.
--
-- Grain   one row per recipient of the latest registry
CREATE TABLE IF NOT EXISTS recipients (
    recipient_id VARCHAR NOT NULL,  -- unique over all certificates
    certificate_id VARCHAR NOT NULL,  -- the certificate that was issued
    email VARCHAR NOT NULL,  -- as the registry writes it
    name VARCHAR NOT NULL,  -- as the registry writes it
    message_id VARCHAR,  -- of the access e-mail, without <>, or NULL
    access_email_sent_at TIMESTAMP,  -- UTC, or NULL
    created_at TIMESTAMP NOT NULL,  -- UTC; the recipient counts from then on
    address_hash VARCHAR NOT NULL  -- keyed hash of the address in lower case; equals that in identities
)
