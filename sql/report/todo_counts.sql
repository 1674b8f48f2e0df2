-- todo_counts: how many recipients of a certificate each thing to do concerns.
--
-- Grain   one row per certificate in scope and todo with at least one recipient
-- Reads   recipient_todos, recipient_news
-- Params  those of recipient_news
-- Counts  new_count is of those whom the same list did not have in the report sent before
SELECT
    recipient_todos.certificate_id,
    recipient_todos.todo,
    COUNT(*) AS recipients_count,
    COUNT(*) FILTER (WHERE recipient_news.is_new_todo) AS new_count
FROM recipient_todos
INNER JOIN recipient_news
    ON recipient_todos.recipient_id = recipient_news.recipient_id
GROUP BY recipient_todos.certificate_id, recipient_todos.todo
ORDER BY recipient_todos.certificate_id NULLS LAST, recipient_todos.todo NULLS LAST
