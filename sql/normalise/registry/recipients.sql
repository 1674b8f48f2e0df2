-- recipients: the registry's recipients, each with the reason why it is left out, if any.
--
-- Grain   one row per row of recipients.csv, except those of forgotten recipients
-- Reads   raw_recipients, certificates
-- Counts  reason is NULL for the rows that are kept; warning says why a kept row is listed. Of several rows with one id, over all
--         certificates, the first that breaks no other rule is kept. A date without a time is midnight UTC. A recipient without
--         an address, or with several, is left out. With one word that no server takes as an address it is kept: the platform has
--         issued the credential, and the report says that it did not arrive. The address is hashed as classified.sql hashes the
--         address of an event.
WITH trimmed_recipients AS (
    SELECT
        line,
        unreadable,
        noticed,
        nullif_blank(recipient_id) AS recipient_id,
        nullif_blank(certificate_id) AS certificate_id,
        nullif_blank(email) AS given_email,
        COALESCE(trimmed(name), '') AS name,
        bare_id(message_id) AS message_id,
        nullif_blank(access_email_sent_at) AS sent_at,
        created_at AS made_at
    FROM raw_recipients
    WHERE COALESCE(NOT LIST_CONTAINS(CAST(GETVARIABLE('forgotten') AS VARCHAR[]), nullif_blank(raw_recipients.recipient_id)), TRUE)
),

typed_recipients AS (
    SELECT
        *,
        address(given_email) AS email,
        is_mailbox(given_email) AS is_mailbox,
        REGEXP_FULL_MATCH(given_email, '[^\s\pZ,;<>"()\[\]@]+@[^\s\pZ,;<>"()\[\]@]+') AS is_single_word,
        registry_time(sent_at) AS access_email_sent_at,
        registry_time(made_at) AS created_at
    FROM trimmed_recipients
),

checked_recipients AS (
    SELECT
        typed_recipients.line,
        typed_recipients.recipient_id,
        certificates.certificate_id,
        typed_recipients.email,
        typed_recipients.name,
        typed_recipients.message_id,
        typed_recipients.access_email_sent_at,
        typed_recipients.created_at,
        address_hash(typed_recipients.email, GETVARIABLE('hash_key')) AS address_hash,
        CASE
            WHEN typed_recipients.unreadable IS NOT NULL THEN typed_recipients.unreadable
            WHEN typed_recipients.recipient_id IS NULL THEN 'no recipient_id'
            WHEN certificates.certificate_id IS NULL THEN 'unknown certificate'
            WHEN typed_recipients.given_email IS NULL THEN 'no email'
            WHEN NOT typed_recipients.is_mailbox AND NOT typed_recipients.is_single_word THEN bad_address('email')
            WHEN typed_recipients.created_at IS NULL THEN bad_time('created_at')
            WHEN typed_recipients.sent_at IS NOT NULL AND typed_recipients.access_email_sent_at IS NULL
                THEN bad_time('access_email_sent_at')
        END AS broken_rule,
        warnings(
            typed_recipients.noticed,
            CASE WHEN NOT typed_recipients.is_mailbox THEN 'email is no address that a mail server takes' END,
            smtputf8_warning(typed_recipients.email)
        ) AS warning
    FROM typed_recipients
    LEFT JOIN certificates
        ON typed_recipients.certificate_id = certificates.certificate_id AND certificates.reason IS NULL
)

SELECT
    * EXCLUDE (broken_rule),
    recipient_id AS id,
    registry_reason(broken_rule, line, recipient_id, 'recipient_id') AS reason
FROM checked_recipients
