-- nginx_combined: nginx's predefined log format `combined`.
--
-- Grain   one row per line
-- Reads   documents
-- Counts  nginx writes quotes, backslashes and bytes outside printable ASCII as \xHH, so a field ends at the next quote. Fields
--         that operators append after the agent are not read.
--         nginx.org/en/docs/http/ngx_http_log_module.html
WITH parsed_lines AS (
    SELECT
        file,
        document,
        REGEXP_EXTRACT(
            document,
            '^(\S+) \S+ .*? ?\[([^\]]*)\] "((?:[^"\\]|\\.)*)" (\d{3}) (?:\d+|-) "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"',
            ['ip', 'moment', 'request', 'status', 'agent']
        ) AS field
    FROM documents
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
