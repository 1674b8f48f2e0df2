-- reject_reasons: the reasons of a slice's rejects, most frequent first, each with one place as an example.
--
-- Grain   one row per reason
-- Reads   landed
SELECT
    reason,
    COUNT(*) AS reject_count,
    MIN(file) AS file,
    ARG_MIN(line, (file, line)) AS line
FROM landed
GROUP BY reason
ORDER BY reject_count DESC, reason
