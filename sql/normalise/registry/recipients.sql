-- recipients: the registry's recipients, judged.
--
-- Grain   one row per row of recipients.csv whose recipient is not forgotten
-- Counts  reason is NULL for the rows that hold; of an id that stands twice, over all certificates, the first row counts.
--         The hash of the address is made as judged.sql makes that of an event's
SELECT
    raw_recipients.line,
    told(raw_recipients.recipient_id) AS recipient_id,
    certificates.certificate_id,
    TRIM(raw_recipients.email) AS email,
    COALESCE(TRIM(raw_recipients.name), '') AS name,
    bare_id(raw_recipients.message_id) AS message_id,
    iso_time(raw_recipients.access_email_sent_at) AS access_email_sent_at,
    iso_time(raw_recipients.created_at) AS created_at,
    address_hash(COALESCE(address(raw_recipients.email), TRIM(raw_recipients.email))) AS address_hash,
    told(raw_recipients.recipient_id) AS id,
    CASE
        WHEN raw_recipients.is_malformed THEN 'not the columns of the header'
        WHEN told(raw_recipients.recipient_id) IS NULL THEN 'no recipient_id'
        WHEN certificates.certificate_id IS NULL THEN 'unknown certificate'
        WHEN told(raw_recipients.email) IS NULL THEN 'no email'
        WHEN iso_time(raw_recipients.created_at) IS NULL THEN 'bad created_at'
        WHEN told(raw_recipients.access_email_sent_at) IS NOT NULL AND iso_time(raw_recipients.access_email_sent_at) IS NULL
            THEN 'bad access_email_sent_at'
        WHEN raw_recipients.line > MIN(raw_recipients.line) OVER (PARTITION BY told(raw_recipients.recipient_id))
            THEN 'duplicate recipient_id'
    END AS reason
FROM raw_recipients
LEFT JOIN certificates
    ON told(raw_recipients.certificate_id) = certificates.certificate_id AND certificates.reason IS NULL
WHERE COALESCE(NOT LIST_CONTAINS(CAST(GETVARIABLE('forgotten') AS VARCHAR[]), told(raw_recipients.recipient_id)), TRUE)
