-- repeats: the records that report an event which another record reports already; a table that lasts for one run.
--
-- Grain   one row per surplus record
-- Reads   staged
-- Counts  of several records with one event_key the earliest is the event. Of equally early ones the other columns decide, so
--         that the order of the files does not matter.
WITH repeated_keys AS (
    SELECT event_key
    FROM staged
    WHERE outcome = 'event'
    GROUP BY event_key
    HAVING COUNT(*) > 1
),

ranked_records AS (
    SELECT
        staged.file_row_number AS staged_row,
        ROW_NUMBER() OVER (
            PARTITION BY staged.event_key
            ORDER BY staged.occurred_at, ROW(*COLUMNS(staged.* EXCLUDE (file)))
        ) AS place
    FROM staged
    SEMI JOIN repeated_keys
        ON staged.event_key = repeated_keys.event_key
    WHERE staged.outcome = 'event'
)

SELECT staged_row
FROM ranked_records
WHERE place > 1
