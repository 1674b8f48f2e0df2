-- recipients: the recipients of the landed registry.
--
-- Grain   one row per recipient
-- Reads   landed_recipients
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
ORDER BY certificate_id NULLS LAST, recipient_id NULLS LAST
