-- rejects: the records that could not be understood, each with its file and line.
--
-- Grain   one row per rejected record
-- Reads   staged, lines, shifts
-- Counts  lines are numbered only here, and rejects find theirs by the text: numbering the lines of every slice would keep
--         DuckDB on one core. Where a text is on several lines of a file, its rejects are divided evenly among those lines, and
--         the first lines get the remainder. A file that was copied document by document has a line for each; shifts gives
--         the number of the raw file's line.
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
        line_key(document) AS document,
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

raw_lines AS (
    SELECT
        rejected_lines.file,
        rejected_lines.document,
        rejected_lines.occurrence,
        CASE
            WHEN LIST_CONTAINS(CAST(GETVARIABLE('one_line_files') AS VARCHAR[]), rejected_lines.file) THEN 1
            ELSE rejected_lines.line + COALESCE(shifts.shift, 0)
        END AS line
    FROM rejected_lines
    ASOF LEFT JOIN shifts
        ON rejected_lines.file = shifts.file AND rejected_lines.line >= shifts.line
),

placed_rejects AS (
    SELECT
        rejected_texts.file,
        raw_lines.line,
        rejected_texts.reason,
        rejected_texts.record,
        UNNEST(RANGE(
            rejected_texts.reject_count // line_counts.line_count
            + CASE WHEN raw_lines.occurrence <= rejected_texts.reject_count % line_counts.line_count THEN 1 ELSE 0 END
        )) AS repetition
    FROM rejected_texts
    INNER JOIN raw_lines
        ON rejected_texts.file = raw_lines.file AND rejected_texts.document = raw_lines.document
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
