-- sendgrid: SendGrid's Event Webhook, as a collector stores it, and answers of its Email Logs API.
--
-- Grain   one row per record; of the API's details of a mail one per event, of its list of mails one per mail
-- Reads   records
-- Counts  custom arguments are merged flat into the event: what is not SendGrid's is metadata. sg_message_id is absent on
--         delayed bounces, smtp-id then names the message. A drop was never tried unless the address or the time was
--         wrong. The API keeps custom arguments apart; its list tells no event, and received none of a mail; what befell a
--         mail later than its slice can hold is left out. twilio.com/docs/sendgrid/for-developers/tracking-events/event,
--         twilio.com/docs/sendgrid/api-reference/email-logs
WITH unwrapped AS (
    SELECT
        file,
        document,
        CONTAINS(record, '"api_key_id"') OR REGEXP_MATCHES(record, '^\s*\{\s*"messages"\s*:\s*\[') AS is_pulled,
        UNNEST(
            CASE
                WHEN NOT is_pulled THEN [record]
                WHEN CONTAINS(record, '"events"') THEN members(record, 'events')
                ELSE members(record, 'messages')
            END
        ) AS record
    FROM records
),

parsed AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(
            record,
            '{
                "event": "VARCHAR", "email": "VARCHAR", "timestamp": "VARCHAR", "sg_event_id": "VARCHAR",
                "sg_message_id": "VARCHAR", "smtp-id": "VARCHAR", "useragent": "VARCHAR", "url": "VARCHAR", "type": "VARCHAR",
                "status": "VARCHAR", "reason": "VARCHAR", "response": "VARCHAR", "category": "VARCHAR",
                "sg_machine_open": "VARCHAR", "custom_args": "VARCHAR", "sg_message_id_created_at": "VARCHAR"
            }'
        )) AS event
    FROM unwrapped
),

separated AS (
    SELECT
        *,
        LOWER(event.event) AS name,
        CASE
            WHEN is_pulled THEN object_text(event.custom_args)
            WHEN event IS NOT NULL
                THEN without(
                    record,
                    [
                        'attempt', 'bounce_classification', 'category', 'email', 'event', 'ip', 'reason', 'response',
                        'sg_content_type', 'sg_event_id', 'sg_machine_open', 'sg_message_id', 'smtp-id', 'status', 'timestamp',
                        'tls', 'type', 'url', 'url_offset', 'useragent'
                    ]
                )
        END AS custom
    FROM parsed
),

stripped AS (
    -- The patch is read anew for every record, so the keys that few accounts have wait for a record that has one.
    SELECT
        * EXCLUDE (custom),
        CASE
            WHEN REGEXP_MATCHES(custom, '"(anymail|asm|cert_err|marketing|mc_stats|newsletter|nlvx|phase_id|pool|post_type|send_at|sg_|singlesend|template|unique_args)')
                THEN without(
                    custom,
                    [
                        'anymail_id', 'asm_group_id', 'cert_err', 'marketing_campaign_id', 'marketing_campaign_name',
                        'marketing_campaign_version', 'marketing_campaign_split_id', 'mc_stats', 'newsletter',
                        'nlvx_campaign_id', 'nlvx_campaign_split_id', 'nlvx_user_id', 'phase_id', 'pool', 'post_type',
                        'send_at', 'sg_template_id', 'sg_template_name', 'sg_user_id', 'singlesend_id', 'singlesend_name',
                        'template', 'unique_args'
                    ]
                )
            ELSE custom
        END AS custom
    FROM separated
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    is_pulled AND (
        (name IS NULL AND event.sg_message_id_created_at IS NOT NULL) OR name = 'received'
        OR epoch_time(event.timestamp, 1000000) >= GETVARIABLE('time_limit')
    ) AS is_ignored,
    CASE name
        WHEN 'processed' THEN 'queued' WHEN 'deferred' THEN 'deferred' WHEN 'delivered' THEN 'delivered'
        WHEN 'bounce' THEN 'bounced' WHEN 'dropped' THEN 'rejected' WHEN 'cancel_drop' THEN 'rejected'
        WHEN 'open' THEN 'opened' WHEN 'click' THEN 'clicked' WHEN 'spamreport' THEN 'complained'
        WHEN 'unsubscribe' THEN 'unsubscribed' WHEN 'group_unsubscribe' THEN 'unsubscribed'
        WHEN 'group_resubscribe' THEN 'subscribed'
        ELSE CASE WHEN nullif_blank(name) IS NOT NULL THEN 'unknown' END
    END AS event_type,
    epoch_time(event.timestamp, 1000000) AS occurred_at,
    event.sg_event_id AS event_key,
    CASE
        WHEN nullif_blank(event.sg_event_id) IS NULL
            THEN CONCAT_WS(
                '|', name, COALESCE(event.sg_message_id, event."smtp-id", ''), LOWER(TRIM(COALESCE(event.email, ''))),
                TRIM(event.timestamp), COALESCE(event.url, '')
            )
    END AS key_parts,
    event.email AS email,
    COALESCE(nullif_blank(SPLIT_PART(event.sg_message_id, '.', 1)), event."smtp-id") AS message_id,
    custom AS metadata,
    event.url AS url,
    event.useragent AS user_agent,
    LOWER(event.sg_machine_open) IN ('true', '1') AS is_flagged,
    CASE
        WHEN name = 'deferred' THEN 'soft'
        WHEN name != 'bounce' THEN NULL
        WHEN event.type = 'blocked' THEN 'block'
        WHEN event.type = 'expired' OR STARTS_WITH(event.status, '4') THEN 'soft'
        ELSE 'hard'
    END AS bounce_class,
    CASE
        WHEN name = 'spamreport' THEN 'spam'
        WHEN name = 'bounce'
            THEN CASE event.type WHEN 'blocked' THEN 'blocked' WHEN 'expired' THEN 'timed_out' ELSE 'bounced' END
        WHEN name IN ('dropped', 'cancel_drop')
            THEN CASE LOWER(event.reason)
                WHEN 'invalid' THEN 'invalid' WHEN 'bounced address' THEN 'bounced'
                WHEN 'unsubscribed address' THEN 'unsubscribed' WHEN 'spam reporting address' THEN 'spam'
                WHEN 'blocked' THEN 'blocked' WHEN 'expired' THEN 'timed_out'
                ELSE 'other'
            END
    END AS reject_reason,
    event.status AS enhanced_code,
    CASE WHEN name NOT IN ('dropped', 'cancel_drop') THEN COALESCE(event.response, event.reason) END AS mta_response,
    name IN ('dropped', 'cancel_drop') AND COALESCE(LOWER(event.reason), '') NOT IN ('invalid', 'expired') AS is_suppressed,
    event.category AS tags
FROM stripped
