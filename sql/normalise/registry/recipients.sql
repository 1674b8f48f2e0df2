-- recipients: the registry's recipients, each with the reason why it is left out, if any.
--
-- Grain   one row per row of recipients.csv, except those of forgotten recipients
-- Reads   raw_recipients, certificates
-- Counts  reason is NULL for the rows that are kept. Of several rows with one id, over all certificates, the first that breaks
--         no other rule is kept. A date without a time is midnight UTC. The address is hashed as classified.sql hashes the
--         address of an event.
WITH typed_recipients AS (
    SELECT
        line,
        is_malformed,
        nullif_blank(recipient_id) AS recipient_id,
        nullif_blank(certificate_id) AS certificate_id,
        TRIM(email) AS email,
        COALESCE(TRIM(name), '') AS name,
        bare_id(message_id) AS message_id,
        nullif_blank(access_email_sent_at) AS sent_at,
        iso_time_or_date(sent_at) AS access_email_sent_at,
        iso_time_or_date(raw_recipients.created_at) AS created_at,
        address_hash(COALESCE(address(raw_recipients.email), TRIM(raw_recipients.email)), GETVARIABLE('hash_key')) AS address_hash
    FROM raw_recipients
    WHERE COALESCE(NOT LIST_CONTAINS(CAST(GETVARIABLE('forgotten') AS VARCHAR[]), nullif_blank(raw_recipients.recipient_id)), TRUE)
),

checked_recipients AS (
    SELECT
        typed_recipients.* EXCLUDE (is_malformed, sent_at) REPLACE (certificates.certificate_id AS certificate_id),
        CASE
            WHEN typed_recipients.is_malformed THEN 'not the columns of the header'
            WHEN typed_recipients.recipient_id IS NULL THEN 'no recipient_id'
            WHEN certificates.certificate_id IS NULL THEN 'unknown certificate'
            WHEN nullif_blank(typed_recipients.email) IS NULL THEN 'no email'
            WHEN typed_recipients.created_at IS NULL THEN 'bad created_at'
            WHEN typed_recipients.sent_at IS NOT NULL AND typed_recipients.access_email_sent_at IS NULL THEN 'bad access_email_sent_at'
        END AS broken_rule
    FROM typed_recipients
    LEFT JOIN certificates
        ON typed_recipients.certificate_id = certificates.certificate_id AND certificates.reason IS NULL
)

SELECT
    * EXCLUDE (broken_rule),
    recipient_id AS id,
    registry_reason(broken_rule, line, recipient_id, 'recipient_id') AS reason
FROM checked_recipients
