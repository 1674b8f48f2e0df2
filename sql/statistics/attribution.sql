-- attribution: the number of events, and of those without a recipient, with another certificate than the registry's, and late.
--
-- Grain   one row
-- Reads   events, identities, identity_recipients, recipients
-- Params  first_date DATE or NULL, last_date DATE or NULL, the UTC days of the slices; and those of scoped_recipients, all open
-- Counts  an event that came in several slices once, by the copy with the least (load_date, source). If an event and the
--         registry disagree on the certificate, the registry wins and the event is counted as a disagreement. An event is late if it
--         happened before the day of its slice
WITH
ranked_events AS (
    SELECT
        identity_key,
        occurred_at < CAST(load_date AS TIMESTAMP) AS is_late,
        ROW_NUMBER() OVER (PARTITION BY event_key ORDER BY load_date NULLS LAST, source NULLS LAST) AS copy_rank
    FROM events
    WHERE
        load_date >= COALESCE(CAST(:first_date AS DATE), load_date)
        AND load_date <= COALESCE(CAST(:last_date AS DATE), load_date)
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
    COUNT(*) FILTER (WHERE recipients.certificate_id <> identity_certificates.certificate_id) AS disagreement_count,
    COUNT(*) FILTER (WHERE ranked_events.is_late) AS late_count
FROM ranked_events
INNER JOIN identity_certificates
    ON ranked_events.identity_key = identity_certificates.identity_key
LEFT JOIN identity_recipients
    ON ranked_events.identity_key = identity_recipients.identity_key
LEFT JOIN recipients
    ON identity_recipients.recipient_id = recipients.recipient_id
WHERE ranked_events.copy_rank = 1
