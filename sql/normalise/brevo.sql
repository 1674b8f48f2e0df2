-- brevo: Brevo's (Sendinblue's) transactional webhooks and pages of its event report.
--
-- Grain   one row per event
-- Reads   records
-- Counts  the time is ts_epoch, which is UTC. Where it is missing, ts_event, ts and date are read in this order. They may be off
--         by the account's time zone, but an event with such a time is better than none. The report spells some events differently from the webhook. Both spellings get
--         one name, so that both records have one key. id identifies the webhook, not the event. The header X-Mailin-custom is
--         metadata where it is a JSON object. An empty report may be {} and is ignored.
--         developers.brevo.com/docs/transactional-webhooks, developers.brevo.com/reference/get-email-event-report
WITH payloads AS (
    SELECT
        file,
        document,
        UNNEST(members(record, 'events')) AS record
    FROM records
),

parsed_events AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(
            record,
            '{
                "event": "VARCHAR", "email": "VARCHAR", "ts_epoch": "VARCHAR", "ts_event": "VARCHAR", "ts": "VARCHAR",
                "date": "VARCHAR", "message-id": "VARCHAR", "messageId": "VARCHAR", "link": "VARCHAR", "reason": "VARCHAR", "user_agent": "VARCHAR", "tag": "VARCHAR",
                "tags": "VARCHAR", "X-Mailin-custom": "VARCHAR"
            }'
        )) AS event
    FROM payloads
),

named_events AS (
    SELECT
        *,
        COALESCE(MAP {
            'requests': 'request',
            'hardbounces': 'hard_bounce',
            'softbounces': 'soft_bounce',
            'invalid': 'invalid_email',
            'loadedbyproxy': 'proxy_open',
            'clicks': 'click',
            'unsubscribed': 'unsubscribe'
        }[LOWER(event.event)], LOWER(event.event)) AS name,
        COALESCE(
            epoch_time(event.ts_epoch, 1000), epoch_time(event.ts_event, 1000000), epoch_time(event.ts, 1000000), iso_time(event.date)
        ) AS occurred_at,
        COALESCE(event."message-id", event."messageId") AS message_id
    FROM parsed_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    TRIM(record) = '{}' AS is_ignored,
    CASE
        WHEN nullif_blank(name) IS NOT NULL THEN COALESCE(MAP {
            'request': 'queued',
            'deferred': 'deferred',
            'delivered': 'delivered',
            'hard_bounce': 'bounced',
            'soft_bounce': 'bounced',
            'invalid_email': 'bounced',
            'bounces': 'bounced',
            'blocked': 'rejected',
            'error': 'failed',
            'opened': 'opened',
            'unique_opened': 'opened',
            'proxy_open': 'opened',
            'unique_proxy_open': 'opened',
            'unique_proxy_opened': 'opened',
            'click': 'clicked',
            'spam': 'complained',
            'complaint': 'complained',
            'unsubscribe': 'unsubscribed',
            'list_addition': 'subscribed'
        }[name], 'unknown')
    END AS event_type,
    occurred_at,
    CONCAT_WS(
        '|', name, COALESCE(bare_id(message_id), ''), LOWER(TRIM(COALESCE(event.email, ''))),
        EPOCH_US(occurred_at), COALESCE(event.link, '')
    ) AS key_parts,
    event.email AS email,
    message_id,
    object_text(event."X-Mailin-custom") AS metadata,
    event.link AS url,
    event.user_agent AS user_agent,
    CONTAINS(name, 'proxy_open') AS is_flagged,
    MAP_EXTRACT_VALUE(MAP {
        'hard_bounce': 'hard',
        'invalid_email': 'hard',
        'soft_bounce': 'soft',
        'deferred': 'soft',
        'bounces': 'undetermined'
    }, name) AS bounce_class,
    MAP_EXTRACT_VALUE(MAP {
        'hard_bounce': 'bounced',
        'soft_bounce': 'bounced',
        'bounces': 'bounced',
        'invalid_email': 'invalid',
        'blocked': 'blocked',
        'spam': 'spam',
        'complaint': 'spam'
    }, name) AS reject_reason,
    -- Brevo puts a word before the server's reply, as in "RecipientError: 550 5.5.0 ...".
    REGEXP_EXTRACT(event.reason, '^\s*(?:\w+:\s*)?([245]\d\d)(?:\D|$)', 1) AS smtp_code,
    event.reason AS mta_response,
    name = 'blocked' AS is_suppressed,
    COALESCE(NULLIF(event.tags, '[]'), event.tag) AS tags
FROM named_events
