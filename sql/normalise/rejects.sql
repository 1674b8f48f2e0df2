-- rejects: the records that could not be understood, each with its file and line.
--
-- Grain   one row per rejected record
-- Reads   staged, lines
-- Counts  lines are numbered only here, and rejects find theirs by the text: numbering the lines of every slice would keep
--         DuckDB on one core. Where a text is on several lines of a file, its rejects are divided evenly among those lines, and
--         the first lines get the remainder.
WITH rejected_texts AS (
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

numbered_lines AS (
    SELECT
        file,
        document,
        ROW_NUMBER() OVER () AS position
    FROM lines
),

first_positions AS (
    SELECT
        file,
        MIN(position) AS first_position
    FROM numbered_lines
    GROUP BY file
),

rejected_lines AS (
    SELECT
        numbered_lines.file,
        numbered_lines.document,
        numbered_lines.position - first_positions.first_position + 1 AS line,
        ROW_NUMBER() OVER (PARTITION BY numbered_lines.file, numbered_lines.document ORDER BY numbered_lines.position) AS occurrence
    FROM numbered_lines
    INNER JOIN first_positions
        ON numbered_lines.file = first_positions.file
    SEMI JOIN rejected_texts
        ON numbered_lines.file = rejected_texts.file AND numbered_lines.document = rejected_texts.document
),

line_counts AS (
    SELECT
        file,
        document,
        COUNT(*) AS line_count
    FROM rejected_lines
    GROUP BY file, document
),

placed_rejects AS (
    SELECT
        rejected_texts.file,
        CASE WHEN LIST_CONTAINS(CAST(GETVARIABLE('one_line_files') AS VARCHAR[]), rejected_texts.file) THEN 1 ELSE rejected_lines.line END AS line,
        rejected_texts.reason,
        rejected_texts.record,
        UNNEST(RANGE(
            rejected_texts.reject_count // line_counts.line_count
            + CASE WHEN rejected_lines.occurrence <= rejected_texts.reject_count % line_counts.line_count THEN 1 ELSE 0 END
        )) AS repetition
    FROM rejected_texts
    INNER JOIN rejected_lines
        ON rejected_texts.file = rejected_lines.file AND rejected_texts.document = rejected_lines.document
    INNER JOIN line_counts
        ON rejected_texts.file = line_counts.file AND rejected_texts.document = line_counts.document
)

SELECT
    MAP(GETVARIABLE('files'), GETVARIABLE('origins'))[file] AS file,
    line,
    reason,
    record
FROM placed_rejects
ORDER BY file, line, reason, record
