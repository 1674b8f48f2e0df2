-- apache_combined: Apache's log format `combined`.
--
-- Grain   one row per line
-- Reads   documents
-- Counts  Apache writes a backslash before a quote and a backslash, white space as C does (\n, \t), and other bytes outside
--         printable ASCII as \xhh. Here all of them become \xHH, so that a field ends at the next quote. The escaped backslash
--         is replaced first, because the other escapes begin with a backslash, too. Fields that operators append after the agent
--         are not read.
--         httpd.apache.org/docs/2.4/mod/mod_log_config.html#format-notes
WITH hex_escaped_lines AS (
    SELECT
        file,
        document,
        CASE
            WHEN CONTAINS(document, '\')
                THEN REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(
                    document, '\\', '\x5C'), '\"', '\x22'), '\n', '\x0A'), '\t', '\x09'), '\r', '\x0D'), '\v', '\x0B'), '\b', '\x08')
            ELSE document
        END AS line
    FROM documents
),

parsed_lines AS (
    SELECT
        file,
        document,
        REGEXP_EXTRACT(
            line,
            '^(\S+) \S+ [^"]*?\[([^\]"]*)\] "([^"]*)" (\d{3}|-) (?:\d+|-) "[^"]*" "([^"]*)"',
            ['ip', 'moment', 'request', 'status', 'agent']
        ) AS field
    FROM hex_escaped_lines
)

SELECT
    file,
    document,
    document AS record,
    field.status != '' AS is_readable,
    CAST(NULL AS VARCHAR) AS reject,
    clf_time(field.moment) AS occurred_at,
    SPLIT_PART(field.request, ' ', 1) AS method,
    CASE WHEN REGEXP_MATCHES(field.request, '^[A-Z]+ \S+( HTTP/[\d.]+)?$') THEN SPLIT_PART(field.request, ' ', 2) END AS target,
    field.status AS status,
    log_text(field.agent) AS user_agent,
    CAST(NULL AS VARCHAR) AS request_id,
    CONCAT_WS('|', field.moment, field.ip, field.agent, field.request) AS key_parts,
    FALSE AS is_flagged
FROM parsed_lines
