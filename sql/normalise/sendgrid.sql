-- sendgrid: SendGrid's Event Webhook, as a collector stores it, and answers of its Email Logs API.
--
-- Grain   one row per record; for the API's details of a mail one per event, for its list of mails one per mail
-- Reads   records
-- Counts  the webhook merges custom arguments into the event, so every key that is not SendGrid's is metadata. The API keeps
--         custom arguments apart. A delayed bounce has no sg_message_id: smtp-id is its message id. The sg_message_id of a
--         dropped mail may begin with a host (filter0199p1las1): smtp-id then has the id before its @. SendGrid never tried a
--         dropped mail, unless the reason is Invalid or Expired. Three things from the API are ignored: its list of mails, which
--         holds no events; the event received; and events from the slice's time limit on.
--         twilio.com/docs/sendgrid/for-developers/tracking-events/event, twilio.com/docs/sendgrid/api-reference/email-logs
WITH payloads AS (
    SELECT
        file,
        document,
        -- A custom argument of the webhook may be called api_key_id, too; but each of its events has the key event.
        CASE
            WHEN CONTAINS(record, '"api_key_id"') THEN TRY(JSON_EXTRACT(record, '$.event')) IS NULL
            ELSE REGEXP_MATCHES(record, '^\s*\{\s*"messages"\s*:\s*\[')
        END AS is_pulled,
        UNNEST(
            CASE
                WHEN NOT is_pulled THEN [record]
                WHEN CONTAINS(record, '"events"') THEN members(record, 'events')
                ELSE members(record, 'messages')
            END
        ) AS record
    FROM records
),

parsed_events AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(record, '{
            "event": "VARCHAR", "email": "VARCHAR", "timestamp": "VARCHAR", "sg_event_id": "VARCHAR",
            "sg_message_id": "VARCHAR", "smtp-id": "VARCHAR", "useragent": "VARCHAR", "url": "VARCHAR", "type": "VARCHAR",
            "status": "VARCHAR", "reason": "VARCHAR", "response": "VARCHAR", "category": "VARCHAR",
            "sg_machine_open": "VARCHAR", "custom_args": "VARCHAR", "sg_message_id_created_at": "VARCHAR"
        }')) AS event,
        -- Where no key that is read from the metadata is SendGrid's own, the whole record serves as metadata, which takes no time.
        NOT GETVARIABLE('keeps_all_metadata')
        AND NOT LIST_HAS_ANY(usual_sendgrid_keys() || rare_sendgrid_keys(), GETVARIABLE('metadata_keys')) AS keeps_record
    FROM payloads
),

named_events AS (
    SELECT
        *,
        LOWER(event.event) AS name,
        CASE
            WHEN is_pulled THEN object_text(event.custom_args)
            WHEN event IS NULL THEN NULL
            WHEN keeps_record THEN record
            ELSE without(record, usual_sendgrid_keys())
        END AS custom
    FROM parsed_events
),

stripped_events AS (
    -- DuckDB parses the patch again for every record, so the keys that few accounts use are removed only where one occurs.
    SELECT
        * EXCLUDE (custom),
        CASE
            WHEN NOT keeps_record AND REGEXP_MATCHES(custom, '"(anymail|asm|cert_err|marketing|mc_stats|newsletter|nlvx|phase_id|pool|post_type|send_at|sg_|singlesend|template|unique_args)')
                THEN without(custom, rare_sendgrid_keys())
            ELSE custom
        END AS custom
    FROM named_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    is_pulled AND (
        (name IS NULL AND event.sg_message_id_created_at IS NOT NULL) OR name = 'received'
        OR epoch_time(event.timestamp, 1000000) >= time_limit(file)
    ) AS is_ignored,
    CASE
        WHEN nullif_blank(name) IS NOT NULL THEN COALESCE(MAP {
            'processed': 'queued',
            'deferred': 'deferred',
            'delivered': 'delivered',
            'bounce': 'bounced',
            'dropped': 'rejected',
            'cancel_drop': 'rejected',
            'open': 'opened',
            'click': 'clicked',
            'spamreport': 'complained',
            'unsubscribe': 'unsubscribed',
            'group_unsubscribe': 'unsubscribed',
            'group_resubscribe': 'subscribed'
        }[name], 'unknown')
    END AS event_type,
    epoch_time(event.timestamp, 1000000) AS occurred_at,
    event.sg_event_id AS event_key,
    CASE WHEN nullif_blank(event.sg_event_id) IS NULL THEN CONCAT_WS(
        '|', name, COALESCE(event.sg_message_id, event."smtp-id", ''), LOWER(TRIM(COALESCE(event.email, ''))),
        TRIM(event.timestamp), COALESCE(event.url, '')
    ) END AS key_parts,
    event.email AS email,
    CASE
        WHEN REGEXP_MATCHES(event.sg_message_id, '^\s*filter\d+\w*\.') THEN REGEXP_EXTRACT(event."smtp-id", '^[\s<]*([^@<>]+)', 1)
        ELSE COALESCE(nullif_blank(SPLIT_PART(event.sg_message_id, '.', 1)), event."smtp-id")
    END AS message_id,
    custom AS metadata,
    event.url AS url,
    event.useragent AS user_agent,
    LOWER(event.sg_machine_open) IN ('true', '1') AS is_flagged,
    CASE
        WHEN name = 'deferred' THEN 'soft'
        WHEN name != 'bounce' THEN NULL
        WHEN event.type = 'blocked' THEN 'block'
        WHEN event.type = 'expired' THEN 'soft'
        ELSE 'hard'
    END AS bounce_class,
    CASE
        WHEN name = 'spamreport' THEN 'spam'
        WHEN name = 'bounce' THEN COALESCE(MAP {
            'blocked': 'blocked',
            'expired': 'timed_out'
        }[event.type], 'bounced')
        WHEN name IN ('dropped', 'cancel_drop') THEN COALESCE(MAP {
            'invalid': 'invalid',
            'bounced address': 'bounced',
            'unsubscribed address': 'unsubscribed',
            'spam reporting address': 'spam',
            'blocked': 'blocked',
            'expired': 'timed_out'
        }[LOWER(event.reason)], 'other')
    END AS reject_reason,
    event.status AS enhanced_code,
    CASE WHEN name NOT IN ('dropped', 'cancel_drop') THEN COALESCE(event.response, event.reason) END AS mta_response,
    name IN ('dropped', 'cancel_drop') AND COALESCE(LOWER(event.reason), '') NOT IN ('invalid', 'expired') AS is_suppressed,
    event.category AS tags
FROM stripped_events
