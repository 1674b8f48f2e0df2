-- nginx_json: nginx's access log as JSON, under keys that the operator chose.
--
-- Grain   one row per record
-- Reads   records
-- Counts  the keys are the names of nginx's variables and others that operators commonly use. A record without a request or
--         without a status cannot be read. Without escape=json nginx writes \xHH into the JSON, which is invalid then: the
--         escape is kept as text and decoded with the bytes beside it. A backslash in valid JSON is the client's own. An epoch
--         is in seconds.
--         nginx.org/en/docs/http/ngx_http_log_module.html#log_format
WITH checked_records AS (
    SELECT
        file,
        document,
        record,
        CONTAINS(record, '\x') AND NOT JSON_VALID(record) AS is_repaired
    FROM records
),

parsed_requests AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(
            CASE WHEN is_repaired THEN REPLACE(record, '\x', '\\x') ELSE record END,
            '{
                "request": "VARCHAR", "request_line": "VARCHAR", "request_method": "VARCHAR", "method": "VARCHAR",
                "request_uri": "VARCHAR", "uri": "VARCHAR", "args": "VARCHAR", "query_string": "VARCHAR", "query": "VARCHAR",
                "status": "VARCHAR", "status_code": "VARCHAR",
                "msec": "VARCHAR", "time_iso8601": "VARCHAR", "time_local": "VARCHAR", "@timestamp": "VARCHAR",
                "timestamp": "VARCHAR", "time": "VARCHAR",
                "http_user_agent": "VARCHAR", "user_agent": "VARCHAR", "agent": "VARCHAR",
                "remote_addr": "VARCHAR", "http_x_forwarded_for": "VARCHAR", "request_id": "VARCHAR"
            }'
        )) AS field
    FROM checked_records
),

named_requests AS (
    SELECT
        *,
        COALESCE(field.request, field.request_line) AS request,
        COALESCE(field.request_uri, field.uri) AS uri,
        COALESCE(field.args, field.query_string, field.query, '') AS arguments,
        COALESCE(field.status, field.status_code) AS status,
        COALESCE(
            nullif_blank(field.msec), nullif_blank(field.time_iso8601), nullif_blank(field.time_local), nullif_blank(field."@timestamp"), nullif_blank(field.timestamp),
            nullif_blank(field.time)
        ) AS moment,
        COALESCE(field.http_user_agent, field.user_agent, field.agent) AS agent
    FROM parsed_requests
),

request_targets AS (
    SELECT
        *,
        COALESCE(field.request_method, field.method, SPLIT_PART(request, ' ', 1)) AS method,
        CASE
            WHEN REGEXP_MATCHES(request, '^[A-Z]+ \S+( HTTP/[\d.]+)?$') THEN SPLIT_PART(request, ' ', 2)
            WHEN request IS NULL AND uri != '' THEN uri || CASE WHEN arguments = '' OR CONTAINS(uri, '?') THEN '' ELSE '?' || arguments END
        END AS target
    FROM named_requests
)

SELECT
    file,
    document,
    record,
    COALESCE(request, uri) IS NOT NULL AND status IS NOT NULL AS is_readable,
    COALESCE(epoch_time(moment, 1000000), iso_time(moment), clf_time(moment)) AS occurred_at,
    method,
    CASE WHEN is_repaired THEN target ELSE REPLACE(target, '\', '%5C') END AS target,
    status,
    CASE WHEN is_repaired THEN log_text(agent) ELSE agent END AS user_agent,
    field.request_id AS request_id,
    CONCAT_WS('|', moment, field.remote_addr, field.http_x_forwarded_for, agent, method, target) AS key_parts,
    FALSE AS is_flagged
FROM request_targets
