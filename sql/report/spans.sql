-- spans: the stretches of time between neighbouring boundaries.
--
-- Grain   one row per pair of neighbouring boundaries, at most 14, numbered from 0 in order of time
-- Params  boundaries VARCHAR, at least two instants in ascending order: 19 characters each, as in 2026-11-01 00:00:00, and a
--         bar between them
WITH
written AS (
    SELECT
        numbers.span_number,
        SUBSTRING(:boundaries FROM 20 * numbers.span_number + 1 FOR 19) AS first_text,
        SUBSTRING(:boundaries FROM 20 * numbers.span_number + 21 FOR 19) AS end_text
    FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13)) AS numbers (span_number)
)

SELECT
    span_number,
    CAST(NULLIF(first_text, '') AS TIMESTAMP) AS start_at,
    CAST(NULLIF(end_text, '') AS TIMESTAMP) AS end_at
FROM written
WHERE end_text <> ''
