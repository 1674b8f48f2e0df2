-- unexplained_machines: events whose machine_reason contradicts is_machine.
--
-- Grain   one row per event
-- Reads   events (the slice's Parquet)
-- Counts  replaces the query that Great Expectations writes, because that lacks the condition on is_machine
SELECT
    event_key,
    event_type,
    occurred_at,
    user_agent,
    is_machine,
    machine_reason
FROM events
WHERE is_machine != (machine_reason IS NOT NULL)
