-- postal: Postal's webhooks, from a self-hosted server.
--
-- Grain   one row per record
-- Reads   records
-- Counts  the payload says what happened: it has a status, a bounce or a url. Only an open is recognised by the event's name
--         (MessageLoaded). Sent means that the recipient's server accepted the mail. Events of incoming mail are ignored. An
--         event Message* without message and address is rejected whatever its status. A bounce is hard unless its reply says
--         otherwise. The message id is the one that Postal's send call returned, not the header Message-ID. The payload of a
--         delivery has a time of its own, which is read where the event's is missing.
--         docs.postalserver.io/developer/webhooks
WITH parsed_events AS (
    SELECT
        file,
        document,
        record,
        TRY(JSON_TRANSFORM(
            record,
            '{
                "event": "VARCHAR", "timestamp": "VARCHAR", "uuid": "VARCHAR",
                "payload": {
                    "status": "VARCHAR", "bounce": "VARCHAR", "url": "VARCHAR", "user_agent": "VARCHAR", "details": "VARCHAR",
                    "output": "VARCHAR", "timestamp": "VARCHAR",
                    "message": {"id": "VARCHAR", "to": "VARCHAR", "tag": "VARCHAR", "direction": "VARCHAR"},
                    "original_message": {"id": "VARCHAR", "to": "VARCHAR", "tag": "VARCHAR", "direction": "VARCHAR"}
                }
            }'
        )) AS event
    FROM records
),

named_events AS (
    SELECT
        *,
        COALESCE(event.payload.message, event.payload.original_message) AS message,
        TRIM(event.payload.output, E' \t\r\n') AS output,
        CASE
            WHEN nullif_blank(event.payload.status) IS NOT NULL THEN 'status ' || event.payload.status
            WHEN event.payload.bounce IS NOT NULL THEN 'bounce'
            WHEN nullif_blank(event.payload.url) IS NOT NULL THEN 'url'
            ELSE nullif_blank(event.event)
        END AS name
    FROM parsed_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    COALESCE(message.direction = 'incoming', FALSE) AS is_ignored,
    CASE
        WHEN STARTS_WITH(event.event, 'Message') AND COALESCE(nullif_blank(message.id), address(message.to)) IS NULL
            THEN 'neither recipient id, message id nor address'
    END AS reject,
    CASE
        WHEN name IS NOT NULL THEN COALESCE(MAP {
            'status Held': 'queued',
            'status SoftFail': 'deferred',
            'status Sent': 'delivered',
            'status HardFail': 'failed',
            'bounce': 'bounced',
            'url': 'clicked',
            'MessageLoaded': 'opened'
        }[name], 'unknown')
    END AS event_type,
    COALESCE(epoch_time(event.timestamp, 1000000), epoch_time(event.payload.timestamp, 1000000)) AS occurred_at,
    event.uuid AS event_key,
    CONCAT_WS('|', name, COALESCE(message.id, ''), LOWER(TRIM(COALESCE(message.to, ''))), event.timestamp, COALESCE(event.payload.url, ''))
        AS key_parts,
    message.to AS email,
    message.id AS message_id,
    event.payload.url AS url,
    event.payload.user_agent AS user_agent,
    CASE
        WHEN name = 'status SoftFail' THEN 'soft'
        WHEN name = 'bounce' THEN 'hard'
    END AS bounce_class,
    CASE WHEN name = 'bounce' THEN 'bounced' END AS reject_reason,
    output AS mta_response,
    name = 'status Held' AND CONTAINS(LOWER(COALESCE(event.payload.details, '')), 'suppression list') AS is_suppressed,
    message.tag AS tags
FROM named_events
