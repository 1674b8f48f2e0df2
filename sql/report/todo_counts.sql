-- todo_counts: how many recipients of a certificate each thing to do concerns.
--
-- Grain   one row per certificate in scope and todo with at least one recipient
-- Reads   recipient_todos
-- Params  those of recipient_todos
SELECT
    certificate_id,
    todo,
    COUNT(*) AS recipients_count
FROM recipient_todos
GROUP BY certificate_id, todo
ORDER BY certificate_id NULLS LAST, todo NULLS LAST
