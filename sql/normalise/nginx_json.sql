-- nginx_json: nginx's access log as JSON, under keys that the operator chose.
--
-- Grain   one row per record
-- Reads   records
-- Counts  the keys are the names of nginx's variables and others that operators commonly use; docs/sources.md lists them. A
--         record without a request or without a status cannot be used; one without a method is taken for GET. Docker and Filebeat put the record as text under log or
--         message. Without escape=json nginx writes \xHH into the JSON, which is invalid then: the escape is kept as text and
--         decoded with the bytes beside it. A number that nginx does not have is a bare - or nothing, which is invalid, too, and
--         becomes null. A backslash in valid JSON is the client's own. An epoch is in seconds.
--         nginx.org/en/docs/http/ngx_http_log_module.html#log_format
WITH unwrapped_records AS (
    SELECT
        file,
        document,
        CASE
            WHEN REGEXP_MATCHES(record, '"(log|message)"\s*:\s*"\s*\{')
                THEN COALESCE(TRY(record ->> '$.log'), TRY(record ->> '$.message'), record)
            ELSE record
        END AS record
    FROM records
),

checked_records AS (
    SELECT
        *,
        CONTAINS(record, '\x') AND NOT JSON_VALID(record) AS is_repaired,
        CASE
            WHEN REGEXP_MATCHES(record, '"\s*:\s*-?\s*[,}]') AND NOT JSON_VALID(record)
                THEN REGEXP_REPLACE(record, '([^\\]"\s*:\s*)-?(\s*[,}])', '\1null\2', 'g')
            ELSE record
        END AS numbered_record
    FROM unwrapped_records
),

parsed_requests AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(
            CASE WHEN is_repaired THEN REPLACE(numbered_record, '\x', '\\x') ELSE numbered_record END,
            '{
                "request": "VARCHAR", "request_line": "VARCHAR",
                "request_method": "VARCHAR", "method": "VARCHAR", "http_method": "VARCHAR", "verb": "VARCHAR",
                "request_uri": "VARCHAR", "uri": "VARCHAR", "url": "VARCHAR", "request_url": "VARCHAR", "path": "VARCHAR",
                "request_path": "VARCHAR", "document_uri": "VARCHAR",
                "args": "VARCHAR", "query_string": "VARCHAR", "request_query": "VARCHAR", "query": "VARCHAR", "request_args": "VARCHAR",
                "status": "VARCHAR", "status_code": "VARCHAR", "response_status": "VARCHAR", "http_status": "VARCHAR", "response_code": "VARCHAR",
                "msec": "VARCHAR", "time_iso8601": "VARCHAR", "time_local": "VARCHAR", "@timestamp": "VARCHAR",
                "timestamp": "VARCHAR", "time": "VARCHAR", "datetime": "VARCHAR", "date": "VARCHAR", "ts": "VARCHAR",
                "http_user_agent": "VARCHAR", "user_agent": "VARCHAR", "agent": "VARCHAR", "useragent": "VARCHAR",
                "remote_addr": "VARCHAR", "http_x_forwarded_for": "VARCHAR", "request_id": "VARCHAR"
            }'
        )) AS field
    FROM checked_records
),

named_requests AS (
    SELECT
        *,
        COALESCE(nullif_blank(field.request), nullif_blank(field.request_line)) AS request,
        COALESCE(
            nullif_blank(field.request_uri), nullif_blank(field.uri), nullif_blank(field.url), nullif_blank(field.request_url),
            nullif_blank(field.path), nullif_blank(field.request_path), nullif_blank(field.document_uri)
        ) AS uri,
        COALESCE(
            field.request, field.request_line, field.request_uri, field.uri, field.url, field.request_url, field.path, field.request_path, field.document_uri
        ) AS named_request,
        LTRIM(COALESCE(
            nullif_blank(field.args), nullif_blank(field.query_string), nullif_blank(field.request_query), nullif_blank(field.query),
            nullif_blank(field.request_args), ''
        ), '?') AS arguments,
        COALESCE(field.request_method, field.method, field.http_method, field.verb) AS named_method,
        COALESCE(field.status, field.status_code, field.response_status, field.http_status, field.response_code) AS status,
        COALESCE(
            nullif_blank(field.msec), nullif_blank(field.time_iso8601), nullif_blank(field.time_local), nullif_blank(field."@timestamp"),
            nullif_blank(field.timestamp), nullif_blank(field.time), nullif_blank(field.datetime), nullif_blank(field.date), nullif_blank(field.ts)
        ) AS moment,
        COALESCE(field.http_user_agent, field.user_agent, field.agent, field.useragent) AS agent
    FROM parsed_requests
),

request_targets AS (
    SELECT
        *,
        CASE
            WHEN REGEXP_MATCHES(request, '^[A-Z]+ \S+( HTTP/[\d.]+)?$') THEN SPLIT_PART(request, ' ', 2)
            WHEN REGEXP_MATCHES(request, '^(/|https?://)\S*$') THEN request
            WHEN request IS NULL THEN uri
        END AS whole_target,
        COALESCE(named_method, NULLIF(REGEXP_EXTRACT(request, '^([A-Z]+) ', 1), ''), 'GET') AS method,
        CASE
            WHEN named_request IS NULL OR REGEXP_MATCHES(named_request, '^[{\[]') THEN missing('request', numbered_record)
            WHEN status IS NULL THEN missing('status', numbered_record)
        END AS reject
    FROM named_requests
),

queried_targets AS (
    SELECT
        *,
        whole_target || CASE WHEN arguments = '' OR CONTAINS(whole_target, '?') THEN '' ELSE '?' || arguments END AS target
    FROM request_targets
)

SELECT
    file,
    document,
    record,
    (named_request IS NOT NULL AND status IS NOT NULL) OR reject IS NOT NULL AS is_readable,
    reject,
    COALESCE(epoch_time(moment, 1000000), iso_time(moment), clf_time(moment)) AS occurred_at,
    method,
    CASE WHEN is_repaired THEN target ELSE REPLACE(target, '\', '%5C') END AS target,
    status,
    CASE WHEN is_repaired THEN log_text(agent) ELSE agent END AS user_agent,
    field.request_id AS request_id,
    CONCAT_WS('|', moment, field.remote_addr, field.http_x_forwarded_for, agent, method, target) AS key_parts,
    FALSE AS is_flagged
FROM queried_targets
