-- rejects: what could not be understood, and where it stands.
--
-- Grain   one row per rejected record
-- Reads   the table staged, lines
-- Counts  lines are numbered only here, by their text: numbering all of them would keep DuckDB to one core. A line that stands
--         k times in a file has brought k times its rejects, so each occurrence gets its part
WITH rejected AS (
    SELECT
        file,
        document,
        record,
        reason,
        COUNT(*) AS reject_count
    FROM staged
    WHERE outcome = 'reject'
    GROUP BY file, document, record, reason
),

numbered AS (
    SELECT
        file,
        document,
        ROW_NUMBER() OVER () AS position
    FROM lines
),

started AS (
    SELECT
        file,
        MIN(position) AS first_position
    FROM numbered
    GROUP BY file
),

found AS (
    SELECT
        numbered.file,
        numbered.document,
        numbered.position - started.first_position + 1 AS line
    FROM numbered
    INNER JOIN started
        ON numbered.file = started.file
    SEMI JOIN rejected
        ON numbered.file = rejected.file AND numbered.document = rejected.document
),

standing AS (
    SELECT
        file,
        document,
        COUNT(*) AS line_count
    FROM found
    GROUP BY file, document
),

placed AS (
    SELECT
        rejected.file,
        CASE WHEN LIST_CONTAINS(CAST(GETVARIABLE('one_line_files') AS VARCHAR[]), rejected.file) THEN 1 ELSE found.line END AS line,
        rejected.reason,
        rejected.record,
        UNNEST(RANGE(rejected.reject_count // standing.line_count)) AS repetition
    FROM rejected
    INNER JOIN found
        ON rejected.file = found.file AND rejected.document = found.document
    INNER JOIN standing
        ON rejected.file = standing.file AND rejected.document = standing.document
)

SELECT
    MAP(GETVARIABLE('files'), GETVARIABLE('origins'))[file] AS file,
    line,
    reason,
    record
FROM placed
ORDER BY file, line, reason, record
