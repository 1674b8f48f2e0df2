-- outcomes: what became of a slice's records.
--
-- Grain   one row
-- Reads   the table staged
SELECT
    COUNT(*) AS raw,
    COUNT(DISTINCT event_key) FILTER (WHERE outcome = 'event') AS event,
    COUNT(*) FILTER (WHERE outcome = 'event') - COUNT(DISTINCT event_key) FILTER (WHERE outcome = 'event') AS duplicate,
    COUNT(*) FILTER (WHERE outcome = 'reject') AS reject,
    COUNT(*) FILTER (WHERE outcome = 'ignored') AS ignored
FROM staged
