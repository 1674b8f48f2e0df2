-- cloudflare: Cloudflare Logpush, data set http_requests.
--
-- Grain   one row per record
-- Reads   records
-- Counts  the job's owner chose the times' form: rfc3339, unix (seconds) or unixnano, told apart by shape and magnitude. A bot
--         score below 30 (0 says that none was computed) or the category of a verified bot is the provider's word for a
--         machine. RayID names the request.
--         developers.cloudflare.com/logs/logpush/logpush-job/datasets/zone/http_requests
WITH parsed AS (
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

timed AS (
    SELECT
        *,
        TRIM(COALESCE(field.EdgeStartTimestamp, field.EdgeEndTimestamp)) AS moment
    FROM parsed
)

SELECT
    file,
    document,
    record,
    field.ClientRequestURI IS NOT NULL AND field.EdgeResponseStatus IS NOT NULL AS is_readable,
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
FROM timed
