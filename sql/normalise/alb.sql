-- alb: AWS Application Load Balancer's access log.
--
-- Grain   one row per line
-- Reads   documents
-- Counts  the line is split at its quotes, since one within a field is \x22: fields of words, "request", "agent", words,
--         "trace", "domain", "certificate", priority and time; what is appended is left alone. The time is when the request
--         came (request_creation_time), not when it was answered. Of the trace the load balancer's own part names one request:
--         Self where the client sent a Root, which many requests may share, else the Root that the load balancer made.
--         docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
WITH quoted AS (
    SELECT
        file,
        document,
        STRING_SPLIT(document, '"') AS part
    FROM documents
),

parsed AS (
    SELECT
        file,
        document,
        STRING_SPLIT(part[1], ' ') AS answer,
        part[2] AS request,
        part[4] AS agent,
        part[6] AS trace,
        STRING_SPLIT(part[11], ' ') AS creation
    FROM quoted
)

SELECT
    file,
    document,
    document AS record,
    COALESCE(LEN(answer) = 13 AND LEN(creation) IN (3, 4) AND REGEXP_FULL_MATCH(answer[9], '\d{3}|-'), FALSE) AS is_readable,
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
FROM parsed
