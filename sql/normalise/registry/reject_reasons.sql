-- reject_reasons: the reasons for which rows of the registry are left out, most frequent first.
--
-- Grain   one row per table and reason
-- Reads   landed
SELECT
    registry_table,
    reason,
    COUNT(*) AS reject_count
FROM landed
GROUP BY registry_table, reason
ORDER BY reject_count DESC, registry_table, reason
