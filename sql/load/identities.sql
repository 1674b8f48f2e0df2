-- identities: the distinct identities in each landed slice's events, with their number of events.
--
-- Grain   one row per identity_key of a slice
-- Reads   landed_events
-- Counts  events without any id or address share one identity, which matches nobody
SELECT
    source,
    load_date,
    identity_key,
    MIN(recipient_id) AS recipient_id,
    MIN(certificate_id) AS certificate_id,
    MIN(message_id) AS message_id,
    MIN(address_hash) AS address_hash,
    COUNT(*) AS event_count
FROM landed_events
GROUP BY source, load_date, identity_key
ORDER BY source NULLS LAST, load_date NULLS LAST, identity_key NULLS LAST
