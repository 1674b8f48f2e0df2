-- sparkpost: SparkPost's (Bird's) webhook batches and pages of its Events API.
--
-- Grain   one row per event; an element of a batch is {"msys": {class: event}}, a row of a page is the bare event
-- Reads   records
-- Counts  {"msys": {}} is the ping of a new webhook and is ignored. Some bounce classes are no bounces: 60 and 100 are automatic
--         replies, 80 and 90 are requests to subscribe and unsubscribe. transmission_id is what the send call returned.
--         message_id differs by recipient.
--         support.sparkpost.com/docs/tech-resources/webhook-event-reference, .../deliverability/bounce-classification-codes
WITH payloads AS (
    SELECT
        file,
        document,
        UNNEST(members(record, 'results')) AS record
    FROM records
),

payload_classes AS (
    SELECT
        *,
        CASE WHEN CONTAINS(record, '"msys"') THEN entries(object_text(TRY(record ->> '$.msys'))) END AS classes
    FROM payloads
),

parsed_events AS (
    SELECT
        *,
        LEN(classes) AS class_count,
        TRY(JSON_TRANSFORM(COALESCE(classes[1].value, record), '{
            "type": "VARCHAR", "event_id": "VARCHAR", "timestamp": "VARCHAR", "transmission_id": "VARCHAR", "message_id": "VARCHAR",
            "raw_rcpt_to": "VARCHAR", "rcpt_to": "VARCHAR", "rcpt_meta": "VARCHAR", "rcpt_tags": ["VARCHAR"], "campaign_id": "VARCHAR",
            "user_agent": "VARCHAR", "user_agent_parsed": {"is_prefetched": "VARCHAR"}, "target_link_url": "VARCHAR",
            "bounce_class": "VARCHAR", "error_code": "VARCHAR", "raw_reason": "VARCHAR", "reason": "VARCHAR"
        }')) AS event
    FROM payload_classes
),

named_events AS (
    SELECT
        *,
        LOWER(event.type) AS name,
        LOWER(event.type) IN ('bounce', 'out_of_band') AS is_bounce,
        COALESCE(nullif_blank(event.raw_reason), event.reason) AS response,
        LIST_FILTER([nullif_blank(event.campaign_id)] || COALESCE(event.rcpt_tags, []), lambda tag : tag IS NOT NULL) AS tag_words
    FROM parsed_events
),

typed_events AS (
    SELECT
        *,
        CASE
            WHEN is_bounce THEN COALESCE(MAP {
                '60': 'autoresponded',
                '100': 'autoresponded',
                '80': 'subscribed',
                '90': 'unsubscribed'
            }[event.bounce_class], 'bounced')
            WHEN nullif_blank(name) IS NOT NULL THEN COALESCE(MAP {
                'injection': 'queued',
                'delay': 'deferred',
                'delivery': 'delivered',
                'policy_rejection': 'rejected',
                'generation_rejection': 'rejected',
                'generation_failure': 'failed',
                'open': 'opened',
                'amp_open': 'opened',
                'initial_open': 'opened',
                'amp_initial_open': 'opened',
                'click': 'clicked',
                'amp_click': 'clicked',
                'spam_complaint': 'complained',
                'list_unsubscribe': 'unsubscribed',
                'link_unsubscribe': 'unsubscribed'
            }[name], 'unknown')
        END AS event_type
    FROM named_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    class_count = 0 AS is_ignored,
    CASE WHEN class_count > 1 THEN 'several event classes in one' END AS reject,
    event_type,
    COALESCE(epoch_time(event.timestamp, 1000000), iso_time(event.timestamp)) AS occurred_at,
    event.event_id AS event_key,
    CASE WHEN nullif_blank(event.event_id) IS NULL THEN CONCAT_WS(
        '|', name, COALESCE(event.transmission_id, ''), LOWER(TRIM(COALESCE(event.rcpt_to, event.raw_rcpt_to, ''))),
        TRIM(event.timestamp), COALESCE(event.target_link_url, '')
    ) END AS key_parts,
    COALESCE(nullif_blank(event.raw_rcpt_to), event.rcpt_to) AS email,
    event.transmission_id AS message_id,
    object_text(event.rcpt_meta) AS metadata,
    event.target_link_url AS url,
    event.user_agent AS user_agent,
    LOWER(event.user_agent_parsed.is_prefetched) IN ('true', '1') AS is_flagged,
    CASE
        WHEN event_type = 'deferred' THEN 'soft'
        WHEN event_type != 'bounced' THEN NULL
        WHEN event.bounce_class IN ('10', '30') THEN 'hard'
        WHEN event.bounce_class IN ('20', '21', '22', '23', '24', '40', '70') THEN 'soft'
        WHEN event.bounce_class IN ('25', '50', '51', '52', '53', '54') THEN 'block'
        ELSE 'undetermined'
    END AS bounce_class,
    CASE
        WHEN event_type = 'complained' THEN 'spam'
        WHEN event_type NOT IN ('bounced', 'rejected') OR nullif_blank(event.bounce_class) IS NULL THEN NULL
        WHEN event.bounce_class = '10' THEN 'invalid'
        WHEN event.bounce_class = '24' THEN 'timed_out'
        WHEN event.bounce_class IN ('20', '21', '22', '23', '30', '40', '70') THEN 'bounced'
        WHEN event.bounce_class IN ('25', '50', '54') THEN 'blocked'
        WHEN event.bounce_class IN ('51', '52') THEN 'spam'
        ELSE 'other'
    END AS reject_reason,
    event.error_code AS smtp_code,
    response AS mta_response,
    (event_type = 'rejected' OR event.bounce_class = '25') AND CONTAINS(LOWER(response), 'suppress') AS is_suppressed,
    CASE WHEN LEN(tag_words) > 0 THEN CAST(TO_JSON(tag_words) AS VARCHAR) END AS tags
FROM typed_events
