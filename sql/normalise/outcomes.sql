-- outcomes: how many of a slice's records had which outcome.
--
-- Grain   one row
-- Reads   staged, the table repeats
SELECT
    COUNT(*) AS raw,
    COUNT(*) FILTER (WHERE outcome = 'event') - (SELECT COUNT(*) FROM repeats) AS event,
    (SELECT COUNT(*) FROM repeats) AS duplicate,
    COUNT(*) FILTER (WHERE outcome = 'reject') AS reject,
    COUNT(*) FILTER (WHERE outcome = 'ignored') AS ignored
FROM staged
