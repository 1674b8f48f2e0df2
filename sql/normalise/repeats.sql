-- repeats: the records that tell of an event which another record tells already; a table for this run alone.
--
-- Grain   one row per record too many
-- Reads   staged
-- Counts  of several records with one event_key the earliest is the event, and of those the same one however the records
--         stand in the files
WITH repeated AS (
    SELECT event_key
    FROM staged
    WHERE outcome = 'event'
    GROUP BY event_key
    HAVING COUNT(*) > 1
),

ranked AS (
    SELECT
        staged.file_row_number AS staged_row,
        ROW_NUMBER() OVER (
            PARTITION BY staged.event_key
            ORDER BY staged.occurred_at, ROW(*COLUMNS(staged.* EXCLUDE (file)))
        ) AS place
    FROM staged
    SEMI JOIN repeated
        ON staged.event_key = repeated.event_key
    WHERE staged.outcome = 'event'
)

SELECT staged_row
FROM ranked
WHERE place > 1
