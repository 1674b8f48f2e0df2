-- pixel: requests of any access log as tracking-pixel records.
--
-- Grain   one row per request
-- Reads   requests (the format's view)
-- Counts  a request for something else, by another method or with another status is ignored, as is one that is no request
--         at all (TLS junk). Of a key repeated the first counts. Only the six keys are read, the rest is not ours.
WITH asked AS (
    SELECT
        *,
        REGEXP_REPLACE(target, '^[A-Za-z]+://[^/?]*', '') AS path_and_query
    FROM requests
),

classified AS (
    SELECT
        *,
        COALESCE(
            method NOT IN ('GET', 'HEAD', 'POST')
            OR SPLIT_PART(path_and_query, '?', 1) != GETVARIABLE('pixel_path')
            OR status NOT IN ('200', '204', '206', '301', '302', '304'),
            TRUE
        ) AS is_ignored,
        '&' || SUBSTRING(path_and_query, STRPOS(path_and_query, '?') + 1) AS query
    FROM asked
),

read AS (
    SELECT
        *,
        CASE
            WHEN is_readable AND NOT is_ignored
                THEN {
                    'e': query_value(query, 'e'), 'c': query_value(query, 'c'), 'r': query_value(query, 'r'),
                    'ch': query_value(query, 'ch'), 'm': query_value(query, 'm'), 'n': query_value(query, 'n')
                }
        END AS field
    FROM classified
),

named AS (
    SELECT
        *,
        CASE LOWER(nullif_blank(field.e))
            WHEN 'open' THEN 'opened'
            WHEN 'view' THEN 'viewed'
            WHEN 'claim' THEN 'claimed'
            WHEN 'download' THEN 'downloaded'
            WHEN 'share' THEN 'shared'
            WHEN 'profile' THEN 'added_to_profile'
            WHEN 'verify' THEN 'verified'
        END AS event_type,
        CASE LOWER(nullif_blank(field.e))
            WHEN 'profile' THEN 'linkedin'
            WHEN 'share'
                THEN CASE LOWER(nullif_blank(field.ch))
                    WHEN 'twitter' THEN 'x'
                    WHEN 'linkedin' THEN 'linkedin'
                    WHEN 'facebook' THEN 'facebook'
                    WHEN 'x' THEN 'x'
                    WHEN 'whatsapp' THEN 'whatsapp'
                    WHEN 'telegram' THEN 'telegram'
                    WHEN 'email' THEN 'email'
                    WHEN 'copy_link' THEN 'copy_link'
                    WHEN 'embed' THEN 'embed'
                    WHEN 'qr' THEN 'qr'
                    WHEN 'native' THEN 'native'
                    ELSE 'other'
                END
        END AS channel
    FROM read
)

SELECT
    file,
    document,
    record,
    is_readable,
    is_ignored,
    CASE
        WHEN NOT is_readable OR is_ignored THEN NULL
        WHEN REGEXP_MATCHES(CONCAT(field.e, field.c, field.r, field.ch, field.m, field.n), '\p{Cc}') THEN 'a value with a control character'
        WHEN GREATEST(LENGTH(field.e), LENGTH(field.c), LENGTH(field.r), LENGTH(field.ch), LENGTH(field.m), LENGTH(field.n)) > 128
            THEN 'a value over 128 characters'
        WHEN event_type IS NULL THEN 'unknown action'
        WHEN COALESCE(nullif_blank(field.r), nullif_blank(field.c)) IS NULL THEN 'neither r nor c'
    END AS reject,
    event_type,
    occurred_at,
    CASE
        WHEN nullif_blank(field.n) IS NOT NULL
            THEN MD5(CONCAT_WS(
                '|', event_type, COALESCE(nullif_blank(field.c), ''), COALESCE(nullif_blank(field.r), ''), COALESCE(channel, LOWER(nullif_blank(field.ch)), ''), nullif_blank(field.n)
            ))
        ELSE nullif_blank(request_id)
    END AS event_key,
    key_parts,
    nullif_blank(field.r) AS recipient_id,
    nullif_blank(field.c) AS certificate_id,
    field.m AS message_id,
    channel,
    user_agent,
    is_flagged,
    method = 'HEAD' AS is_probe
FROM named
