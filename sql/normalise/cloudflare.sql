-- cloudflare: Cloudflare Logpush, data set http_requests.
--
-- Grain   one row per record
-- Reads   records
-- Counts  the owner of the Logpush job chooses the form of the times: rfc3339, unix (seconds) or unixnano (nanoseconds). Shape
--         and number of digits distinguish them. Cloudflare flags a machine by a bot score from 1 to 29 (0 means not computed)
--         or by the category of a verified bot. RayID identifies the request.
--         developers.cloudflare.com/logs/logpush/logpush-job/datasets/zone/http_requests
WITH parsed_requests AS (
    SELECT
        file,
        document,
        record,
        TRY(JSON_TRANSFORM(
            record,
            '{
                "ClientRequestMethod": "VARCHAR", "ClientRequestURI": "VARCHAR", "EdgeResponseStatus": "VARCHAR",
                "EdgeStartTimestamp": "VARCHAR", "EdgeEndTimestamp": "VARCHAR", "ClientRequestUserAgent": "VARCHAR",
                "ClientIP": "VARCHAR", "RayID": "VARCHAR", "BotScore": "VARCHAR", "VerifiedBotCategory": "VARCHAR"
            }'
        )) AS field
    FROM records
),

timed_requests AS (
    SELECT
        *,
        TRIM(COALESCE(nullif_blank(field.EdgeStartTimestamp), field.EdgeEndTimestamp)) AS moment,
        CASE
            WHEN field.ClientRequestURI IS NULL THEN missing('request', record)
            WHEN field.EdgeResponseStatus IS NULL THEN missing('status', record)
        END AS reject
    FROM parsed_requests
)

SELECT
    file,
    document,
    record,
    reject IS NOT NULL OR (field.ClientRequestURI IS NOT NULL AND field.EdgeResponseStatus IS NOT NULL) AS is_readable,
    reject,
    CASE
        WHEN REGEXP_FULL_MATCH(moment, '\d{17,19}') THEN MAKE_TIMESTAMP(TRY_CAST(moment AS BIGINT) // 1000)
        WHEN REGEXP_FULL_MATCH(moment, '\d{1,11}(\.\d+)?') THEN epoch_time(moment, 1000000)
        ELSE iso_time(moment)
    END AS occurred_at,
    field.ClientRequestMethod AS method,
    CASE WHEN REGEXP_MATCHES(field.ClientRequestURI, '^\S+$') THEN REPLACE(field.ClientRequestURI, '\', '%5C') END AS target,
    field.EdgeResponseStatus AS status,
    field.ClientRequestUserAgent AS user_agent,
    field.RayID AS request_id,
    CONCAT_WS(
        '|', moment, field.ClientIP, field.ClientRequestUserAgent, field.ClientRequestMethod, field.ClientRequestURI
    ) AS key_parts,
    COALESCE(TRY_CAST(field.BotScore AS DOUBLE) BETWEEN 1 AND 29, FALSE) OR nullif_blank(field.VerifiedBotCategory) IS NOT NULL AS is_flagged
FROM timed_requests
