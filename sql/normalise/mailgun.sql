-- mailgun: Mailgun's webhooks, pages of its Events and Logs APIs, and the form posts that it sent before 2018.
--
-- Grain   one row per record
-- Reads   records
-- Counts  an id is unique within one day only, so the day is part of the key. A form has a token instead of an id. A temporary
--         failure is deferred. Codes 605, 606 and 607 are Mailgun's own: it did not try. A form holds the user's variables among
--         its fields. Of several fields of one name the first is Mailgun's, but of timestamp and token the last.
--         documentation.mailgun.com/docs/mailgun/user-manual/events
WITH payloads AS (
    SELECT
        file,
        document,
        UNNEST(members(record, 'items')) AS record,
        CASE WHEN is_form(record) THEN form_fields(record) END AS fields
    FROM records
),

form_payloads AS (
    SELECT
        *,
        CASE WHEN fields IS NOT NULL THEN MAP_FROM_ENTRIES(first_fields(fields)) END AS form
    FROM payloads
),

restated_payloads AS (
    SELECT
        *,
        CASE
            WHEN form IS NOT NULL
                THEN CAST(TO_JSON({
                    'signature': {'token': LIST_FILTER(fields, lambda field : field.key = 'token')[-1].value},
                    'event-data': {
                        'event': form['event'], 'reason': form['reason'], 'recipient': form['recipient'], 'url': form['url'],
                        'timestamp': LIST_FILTER(fields, lambda field : field.key = 'timestamp')[-1].value,
                        'message': {'headers': {'message-id': COALESCE(form['Message-Id'], form['message-id'])}},
                        'client-info': {'user-agent': form['user-agent']},
                        'delivery-status': {'code': form['code'], 'message': COALESCE(form['error'], form['notification'])},
                        'tags': LIST_TRANSFORM(
                            LIST_FILTER(fields, lambda field : field.key IN ('tag', 'X-Mailgun-Tag')), lambda field : field.value
                        ),
                        'user-variables': MAP_FROM_ENTRIES(LIST_FILTER(MAP_ENTRIES(form), lambda field : NOT REGEXP_FULL_MATCH(
                            field.key,
                            'attachment-.*|body-plain|campaign-.*|city|client-.*|code|country|description|device-type|domain|error|event|h|ip|mailing-list|message-headers|[Mm]essage-[Ii]d|notification|reason|recipient|region|signature|tag|timestamp|token|url|user-agent|X-Mailgun-.*'
                        )))
                    }
                }) AS VARCHAR)
            WHEN REGEXP_MATCHES(record, '"event-data"\s*:') THEN record
            ELSE CONCAT('{"event-data":', record, '}')
        END AS restatement
    FROM form_payloads
),

parsed_events AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(restatement, '{
            "signature": {"token": "VARCHAR"},
            "event-data": {
                "event": "VARCHAR", "id": "VARCHAR", "timestamp": "VARCHAR", "@timestamp": "VARCHAR", "severity": "VARCHAR",
                "reason": "VARCHAR", "recipient": "VARCHAR", "url": "VARCHAR", "tags": "VARCHAR", "user-variables": "VARCHAR",
                "message": {"headers": {"message-id": "VARCHAR", "to": "VARCHAR"}}, "flags": {"is-test-mode": "VARCHAR"},
                "client-info": {"user-agent": "VARCHAR", "bot": "VARCHAR"},
                "delivery-status": {"code": "VARCHAR", "message": "VARCHAR", "enhanced-code": "VARCHAR"}
            }
        }')) AS post
    FROM restated_payloads
),

typed_events AS (
    SELECT
        *,
        post."event-data" AS event,
        post."event-data"."delivery-status" AS status,
        LOWER(nullif_blank(post."event-data".event)) AS name,
        COALESCE(epoch_time(post."event-data".timestamp, 1000000), iso_time(post."event-data"."@timestamp")) AS occurred_at,
        CASE
            WHEN name = 'failed' THEN IF(LOWER(post."event-data".severity) = 'temporary', 'deferred', 'bounced')
            WHEN name IS NOT NULL THEN COALESCE(MAP {
                'accepted': 'queued',
                'delivered': 'delivered',
                'bounced': 'bounced',
                'rejected': 'rejected',
                'dropped': 'rejected',
                'opened': 'opened',
                'clicked': 'clicked',
                'complained': 'complained',
                'unsubscribed': 'unsubscribed'
            }[name], 'unknown')
        END AS event_type
    FROM parsed_events
)

SELECT
    file,
    document,
    record,
    post IS NOT NULL AS is_readable,
    COALESCE(event.flags."is-test-mode" = 'true' OR STARTS_WITH(name, 'unique_'), FALSE) AS is_ignored,
    event_type,
    occurred_at,
    CASE WHEN nullif_blank(event.id) IS NULL THEN post.signature.token END AS event_key,
    CASE
        WHEN nullif_blank(event.id) IS NOT NULL THEN CONCAT_WS('|', event.id, CAST(occurred_at AS DATE))
        ELSE CONCAT_WS(
            '|', name, COALESCE(bare_id(event.message.headers."message-id"), ''), LOWER(COALESCE(event.recipient, '')),
            EPOCH_US(occurred_at), COALESCE(event.url, '')
        )
    END AS key_parts,
    COALESCE(
        nullif_blank(event.recipient),
        CASE WHEN name = 'rejected' AND REGEXP_MATCHES(event.message.headers.to, '^[^@]*@[^@]*$') THEN event.message.headers.to END
    ) AS email,
    event.message.headers."message-id" AS message_id,
    object_text(event."user-variables") AS metadata,
    event.url AS url,
    event."client-info"."user-agent" AS user_agent,
    LOWER(event."client-info".bot) IN ('apple', 'generic') AS is_flagged,
    CASE
        WHEN event_type = 'deferred' THEN 'soft'
        WHEN event_type != 'bounced' THEN NULL
        WHEN event.reason = 'espblock' THEN 'block'
        WHEN
            STARTS_WITH(COALESCE(nullif_blank(status.code), reply(status.message)), '5')
            AND REGEXP_MATCHES(status.message, '(?i)policy|spam|block|blacklist|reputation|dmarc|unsolicited')
            THEN 'block'
        ELSE 'hard'
    END AS bounce_class,
    CASE
        WHEN event_type = 'complained' THEN 'spam'
        WHEN event_type NOT IN ('bounced', 'rejected') THEN NULL
        WHEN event.reason = 'suppress-complaint' OR status.code = '607' THEN 'spam'
        WHEN event.reason = 'suppress-unsubscribe' OR status.code = '606' THEN 'unsubscribed'
        WHEN event.reason IN ('bounce', 'suppress-bounce') OR status.code = '605' THEN 'bounced'
        WHEN event.reason = 'espblock' THEN 'blocked'
        WHEN event.reason = 'old' OR status.code = '499' THEN 'timed_out'
        WHEN name IN ('bounced', 'dropped') AND REGEXP_MATCHES(status.code, '^[45]') THEN 'bounced'
        ELSE 'other'
    END AS reject_reason,
    CASE WHEN REGEXP_FULL_MATCH(status.code, '\d{3}') THEN status.code END AS smtp_code,
    COALESCE(nullif_blank(status."enhanced-code"), status.code) AS enhanced_code,
    status.message AS mta_response,
    STARTS_WITH(event.reason, 'suppress-') OR status.code IN ('605', '606', '607') AS is_suppressed,
    event.tags AS tags
FROM typed_events
