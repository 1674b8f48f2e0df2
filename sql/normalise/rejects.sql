-- rejects: what could not be understood, and where it stands.
--
-- Grain   one row per rejected record
-- Reads   staged, lines
-- Counts  lines are numbered only here, by their text: numbering all of them would keep DuckDB to one core. Where a text
--         stands several times in a file each occurrence gets its part of the rejects, and what is left over the first
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
        numbered.position - started.first_position + 1 AS line,
        ROW_NUMBER() OVER (PARTITION BY numbered.file, numbered.document ORDER BY numbered.position) AS occurrence
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
        UNNEST(RANGE(
            rejected.reject_count // standing.line_count
            + CASE WHEN found.occurrence <= rejected.reject_count % standing.line_count THEN 1 ELSE 0 END
        )) AS repetition
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
