-- attribution: the number of events, of those without a recipient, and of those whose certificate the registry contradicts.
--
-- Grain   one row
-- Reads   events, identities, identity_recipients, recipients
-- Params  those of scoped_recipients, all open
-- Counts  an event that came in several slices once, by the copy with the least (load_date, source). If an event and the
--         registry disagree on the certificate, the registry wins and the event is counted as a disagreement
WITH
ranked_events AS (
    SELECT
        identity_key,
        ROW_NUMBER() OVER (PARTITION BY event_key ORDER BY load_date NULLS LAST, source NULLS LAST) AS copy_rank
    FROM events
),

identity_certificates AS (
    SELECT
        identity_key,
        MIN(certificate_id) AS certificate_id
    FROM identities
    GROUP BY identity_key
)

SELECT
    COUNT(*) AS event_count,
    COUNT(*) FILTER (WHERE recipients.recipient_id IS NULL) AS unattributed_count,
    COUNT(*) FILTER (WHERE recipients.certificate_id <> identity_certificates.certificate_id) AS disagreement_count
FROM ranked_events
INNER JOIN identity_certificates
    ON ranked_events.identity_key = identity_certificates.identity_key
LEFT JOIN identity_recipients
    ON ranked_events.identity_key = identity_recipients.identity_key
LEFT JOIN recipients
    ON identity_recipients.recipient_id = recipients.recipient_id
WHERE ranked_events.copy_rank = 1
