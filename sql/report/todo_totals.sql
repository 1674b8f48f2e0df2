-- todo_totals: the to-do list of a report, the item first that can bring the most claims.
--
-- Grain   one row per todo with at least one recipient
-- Reads   todo_counts
-- Params  those of todo_counts
-- Counts  an item can bring as many claims as it has recipients; a reminder to share brings none, so it is last
SELECT
    todo,
    CAST(SUM(recipients_count) AS BIGINT) AS recipients_count,
    COUNT(*) AS certificates_count,
    CAST(SUM(new_count) AS BIGINT) AS new_count
FROM todo_counts
GROUP BY todo
ORDER BY CASE WHEN todo = 'remind_to_share' THEN 1 ELSE 0 END ASC, recipients_count DESC NULLS LAST, todo ASC NULLS LAST
