-- scoped_recipients: the recipients of the certificates in scope.
--
-- Grain   one row per recipient of the latest registry, of the certificates in scope
-- Reads   recipients, scoped_certificates
-- Params  period_end TIMESTAMP, the first instant that does not count; and those of scoped_certificates
-- Counts  a recipient who was moved to another certificate counts only there, for past instants too
SELECT
    recipients.recipient_id,
    recipients.certificate_id,
    recipients.email,
    recipients.name,
    recipients.message_id,
    recipients.address_hash,
    recipients.created_at,
    CASE WHEN recipients.access_email_sent_at < :period_end THEN recipients.access_email_sent_at END AS access_email_sent_at
FROM recipients
INNER JOIN scoped_certificates
    ON recipients.certificate_id = scoped_certificates.certificate_id
WHERE recipients.created_at < :period_end
