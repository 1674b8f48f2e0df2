-- reject_reasons: the reasons for which rows of the registry are left out, most frequent first.
--
-- Grain   one row per table and reason
-- Reads   landed
-- Counts  rows that are kept and listed all the same are no rejects. The lists of release 0.1 have no is_kept, and only rejects:
--         there the name is that of the outer default.
SELECT
    registry_table,
    reason,
    COUNT(*) AS reject_count
FROM
    (SELECT FALSE AS is_kept) AS release_0_1,
    LATERAL (SELECT
        registry_table,
        reason,
        is_kept AS is_listed_only
    FROM landed) AS listed
WHERE NOT is_listed_only
GROUP BY registry_table, reason
ORDER BY reject_count DESC, registry_table ASC, reason ASC
