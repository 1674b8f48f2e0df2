-- cloudfront: Amazon CloudFront's standard logs, with any choice of fields: W3C lines (legacy and v2) and JSON (v2).
--
-- Grain   one row per line that is no comment, and per JSON record
-- Reads   lines, records
-- Counts  the last #Fields line before a line, in the same file, names its fields. A line without one, or with another number of
--         fields, cannot be read. Nor can a record without method, path or status. Headers are numbered over all files and
--         joined by file and number, so that no line gets another file's header. CloudFront writes a client's percent code as
--         %25XX and encodes the agent twice: %25XX becomes %XX, then the agent is decoded once more. timestamp(ms) takes
--         precedence over date and time. The lines are read twice, because keeping them would take memory.
--         docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html
WITH numbered_lines AS NOT MATERIALIZED (
    SELECT
        file,
        document,
        -- DuckDB streams a window frame without ORDER BY; sqlfluff cannot parse one.
        ROW_NUMBER() OVER () AS position,
        COUNT(*) FILTER (STARTS_WITH(document, '#Fields:')) OVER (ROWS UNBOUNDED PRECEDING) AS header_number  -- noqa: PRS
    FROM lines
),

field_headers AS (
    SELECT
        file,
        header_number,
        STRING_SPLIT_REGEX(TRIM(SUBSTRING(document, 9)), '\s+') AS names
    FROM numbered_lines
    WHERE STARTS_WITH(document, '#Fields:')
),

field_places AS (
    SELECT
        file,
        header_number,
        LEN(names) AS field_count,
        LIST_POSITION(names, 'date') AS date_place,
        LIST_POSITION(names, 'time') AS time_place,
        LIST_POSITION(names, 'timestamp(ms)') AS milliseconds_place,
        LIST_POSITION(names, 'timestamp') AS seconds_place,
        LIST_POSITION(names, 'c-ip') AS ip_place,
        LIST_POSITION(names, 'cs-method') AS method_place,
        LIST_POSITION(names, 'cs-uri-stem') AS stem_place,
        LIST_POSITION(names, 'cs-uri-query') AS query_place,
        LIST_POSITION(names, 'sc-status') AS status_place,
        LIST_POSITION(names, 'cs(User-Agent)') AS agent_place,
        LIST_POSITION(names, 'x-edge-request-id') AS request_place
    FROM field_headers
),

split_lines AS (
    SELECT
        file,
        document,
        header_number,
        position,
        STRING_SPLIT(document, CASE WHEN CONTAINS(document, CHR(9)) THEN CHR(9) ELSE ' ' END) AS value
    FROM numbered_lines
    WHERE REGEXP_MATCHES(document, '^\s*[^\s#{\[]')
),

-- Sorted, because events are printed in the order of the files, which a join may lose.
named_fields AS (
    SELECT
        split_lines.file,
        split_lines.document,
        CASE
            WHEN LEN(value) = field_count
                THEN {
                    'date': value[date_place], 'time': value[time_place], 'timestamp(ms)': value[milliseconds_place],
                    'timestamp': value[seconds_place], 'c-ip': value[ip_place], 'cs-method': value[method_place],
                    'cs-uri-stem': value[stem_place], 'cs-uri-query': value[query_place], 'sc-status': value[status_place],
                    'cs(User-Agent)': value[agent_place], 'x-edge-request-id': value[request_place]
                }
        END AS field
    FROM split_lines
    LEFT JOIN field_places
        ON split_lines.file = field_places.file AND split_lines.header_number = field_places.header_number
    ORDER BY split_lines.position
),

parsed_requests AS (
    SELECT file, document, document AS record, field FROM named_fields
    UNION ALL
    SELECT
        file,
        document,
        record,
        TRY(JSON_TRANSFORM(
            record,
            '{
                "date": "VARCHAR", "time": "VARCHAR", "timestamp(ms)": "VARCHAR", "timestamp": "VARCHAR", "c-ip": "VARCHAR",
                "cs-method": "VARCHAR", "cs-uri-stem": "VARCHAR", "cs-uri-query": "VARCHAR", "sc-status": "VARCHAR",
                "cs(User-Agent)": "VARCHAR", "x-edge-request-id": "VARCHAR"
            }'
        )) AS field
    FROM records
    WHERE is_json
),

decoded_requests AS (
    SELECT
        *,
        field."cs-method" AS method,
        field."cs-uri-stem" AS stem,
        REGEXP_REPLACE(COALESCE(nullif_blank(field."cs-uri-query"), ''), '%25([0-9A-Fa-f]{2})', '%\1', 'g') AS query,
        REGEXP_REPLACE(field."cs(User-Agent)", '%25([0-9A-Fa-f]{2})', '%\1', 'g') AS agent,
        CONCAT_WS(' ', field.date, field.time) AS moment,
        CASE
            WHEN field."cs-uri-stem" IS NULL THEN missing('request', record)
            WHEN field."cs-method" IS NULL THEN missing('method', record)
            WHEN field."sc-status" IS NULL THEN missing('status', record)
        END AS reject
    FROM parsed_requests
)

SELECT
    file,
    document,
    record,
    reject IS NOT NULL OR (method IS NOT NULL AND stem IS NOT NULL AND field."sc-status" IS NOT NULL) AS is_readable,
    reject,
    COALESCE(epoch_time(field."timestamp(ms)", 1000), iso_time(moment), epoch_time(field.timestamp, 1000000)) AS occurred_at,
    method,
    CASE WHEN nullif_blank(stem) IS NOT NULL THEN REPLACE(stem || '?' || query, '\', '%5C') END AS target,
    field."sc-status" AS status,
    percent_decoded(agent) AS user_agent,
    field."x-edge-request-id" AS request_id,
    CONCAT_WS('|', field."timestamp(ms)", moment, field.timestamp, field."c-ip", agent, method, stem, query) AS key_parts,
    FALSE AS is_flagged
FROM decoded_requests
