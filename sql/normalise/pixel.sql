-- pixel: requests of the tracking pixel, from any access log.
--
-- Grain   one row per request
-- Reads   requests (the format's view)
-- Counts  requests with another path, method or status are ignored, and so are lines that hold no request (TLS junk). Of a
--         repeated key the first value counts. Only the six keys are read.
WITH request_paths AS (
    SELECT
        *,
        REGEXP_REPLACE(target, '^[A-Za-z]+://[^/?]*', '') AS path_and_query
    FROM requests
),

checked_requests AS (
    SELECT
        *,
        reject IS NULL AND COALESCE(
            method NOT IN ('GET', 'HEAD', 'POST')
            OR SPLIT_PART(path_and_query, '?', 1) != GETVARIABLE('pixel_path')
            OR status NOT IN ('200', '204', '206', '301', '302', '304'),
            TRUE
        ) AS is_ignored,
        '&' || SUBSTRING(path_and_query, STRPOS(path_and_query, '?') + 1) AS query
    FROM request_paths
),

parsed_requests AS (
    SELECT
        *,
        CASE
            WHEN is_readable AND NOT is_ignored
                THEN {
                    'e': query_value(query, 'e'), 'c': query_value(query, 'c'), 'r': query_value(query, 'r'),
                    'ch': query_value(query, 'ch'), 'm': query_value(query, 'm'), 'n': query_value(query, 'n')
                }
        END AS field
    FROM checked_requests
),

typed_requests AS (
    SELECT
        *,
        MAP_EXTRACT_VALUE(MAP {
            'open': 'opened',
            'view': 'viewed',
            'claim': 'claimed',
            'download': 'downloaded',
            'share': 'shared',
            'profile': 'added_to_profile',
            'verify': 'verified'
        }, LOWER(nullif_blank(field.e))) AS event_type,
        CASE LOWER(nullif_blank(field.e))
            WHEN 'profile' THEN 'linkedin'
            WHEN 'share' THEN COALESCE(MAP {
                'twitter': 'x',
                'linkedin': 'linkedin',
                'facebook': 'facebook',
                'x': 'x',
                'whatsapp': 'whatsapp',
                'telegram': 'telegram',
                'email': 'email',
                'copy_link': 'copy_link',
                'embed': 'embed',
                'qr': 'qr',
                'native': 'native'
            }[LOWER(nullif_blank(field.ch))], 'other')
        END AS channel
    FROM parsed_requests
)

SELECT
    file,
    document,
    record,
    is_readable,
    is_ignored,
    CASE
        WHEN reject IS NOT NULL THEN reject
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
FROM typed_requests
