-- alb: the access log of AWS's Application Load Balancer.
--
-- Grain   one row per line
-- Reads   documents
-- Counts  the line is split at its quotes, because a quote inside a field is written as \x22. Its parts are unquoted fields,
--         "request", "agent", unquoted fields, "trace", "domain", "certificate", and the fields from priority and time on.
--         Fields that AWS appends later are not read. The time is when the request came (request_creation_time), not when it was
--         answered. The request id is the part of the trace that the load balancer made: Self where the client sent a Root
--         (which many requests may share), and Root where it did not.
--         docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
WITH split_lines AS (
    SELECT
        file,
        document,
        STRING_SPLIT(document, '"') AS part
    FROM documents
),

parsed_lines AS (
    SELECT
        file,
        document,
        STRING_SPLIT(part[1], ' ') AS answer,
        part[2] AS request,
        part[4] AS agent,
        part[6] AS trace,
        STRING_SPLIT(part[11], ' ') AS creation
    FROM split_lines
)

SELECT
    file,
    document,
    document AS record,
    COALESCE(LEN(answer) = 13 AND LEN(creation) IN (3, 4) AND REGEXP_FULL_MATCH(answer[9], '\d{3}|-'), FALSE) AS is_readable,
    CAST(NULL AS VARCHAR) AS reject,
    iso_time(creation[3]) AS occurred_at,
    SPLIT_PART(request, ' ', 1) AS method,
    CASE WHEN REGEXP_MATCHES(request, '^[A-Z]+ \S+ HTTP/[\d.]+$') THEN SPLIT_PART(request, ' ', 2) END AS target,
    answer[9] AS status,
    log_text(agent) AS user_agent,
    COALESCE(
        NULLIF(REGEXP_EXTRACT(trace, 'Self=([^;]+)', 1), ''),
        NULLIF(REGEXP_EXTRACT(trace, 'Root=([^;]+)', 1), '')
    ) AS request_id,
    CONCAT_WS('|', creation[3], REGEXP_REPLACE(answer[4], ':\d+$', ''), agent, request) AS key_parts,
    FALSE AS is_flagged
FROM parsed_lines
