-- mailjet: Mailjet's Event API (webhooks, grouped or bare) and pages of its REST statistics.
--
-- Grain   one row per event
-- Reads   records
-- Counts  sent means that the receiving server accepted the mail. greylisted is deferred, because Mailjet tries again. Rows of
--         openinformation, clickstatistics and bouncestatistics name no event: the column of their time gives it, and StateID
--         gives the error. Mails with a StateID of 14 or more were never sent. A row of message is a delivery if its Status
--         implies one. Its only time is the mail's arrival at Mailjet. Rows of message with other statuses are ignored, because
--         the other listings report them. CustomID is always metadata, Payload where it is a JSON object.
--         dev.mailjet.com/email/guides/webhooks, dev.mailjet.com/email/reference/messages
WITH payloads AS (
    SELECT
        file,
        document,
        UNNEST(members(record, 'Data')) AS record
    FROM records
),

parsed_events AS (
    SELECT
        *,
        TRY(JSON_TRANSFORM(record, '{
            "event": "VARCHAR", "time": "VARCHAR", "MessageID": "VARCHAR", "email": "VARCHAR", "customcampaign": "VARCHAR",
            "CustomID": "VARCHAR", "Payload": "VARCHAR", "ip": "VARCHAR", "agent": "VARCHAR", "url": "VARCHAR",
            "hard_bounce": "VARCHAR", "error": "VARCHAR", "comment": "VARCHAR", "smtp_reply": "VARCHAR",
            "OpenedAt": "VARCHAR", "ClickedAt": "VARCHAR", "BouncedAt": "VARCHAR", "ID": "VARCHAR",
            "IsStatePermanent": "VARCHAR", "StateID": "VARCHAR", "UserAgentFull": "VARCHAR", "Status": "VARCHAR",
            "ArrivedAt": "VARCHAR", "ContactAlt": "VARCHAR"
        }')) AS event
    FROM payloads
),

named_events AS (
    SELECT
        *,
        CASE
            WHEN event.event IS NOT NULL THEN LOWER(event.event)
            WHEN event."OpenedAt" IS NOT NULL THEN 'open'
            WHEN event."ClickedAt" IS NOT NULL THEN 'click'
            WHEN event."BouncedAt" IS NOT NULL THEN CASE WHEN TRY_CAST(event."StateID" AS INTEGER) >= 14 THEN 'blocked' ELSE 'bounce' END
            WHEN LOWER(event."Status") IN ('sent', 'opened', 'clicked', 'spam', 'unsub') THEN 'sent'
        END AS name,
        event.event IS NULL AND event."Status" IS NOT NULL AS is_message,
        COALESCE(
            nullif_blank(event."OpenedAt"), nullif_blank(event."ClickedAt"), nullif_blank(event."BouncedAt"),
            CASE WHEN event."Status" IS NOT NULL THEN event."ArrivedAt" END
        ) AS pulled_time,
        CASE
            WHEN event."StateID" IS NULL THEN nullif_blank(LOWER(event.error))
            ELSE [
                'user unknown', 'mailbox inactive', 'quota exceeded', 'invalid domain', 'no mail host', 'relay/access denied',
                'sender blocked', 'content blocked', 'policy issue', 'system issue', 'protocol issue', 'connection issue',
                'greylisted', 'preblocked', 'duplicate in campaign', 'spam preblocked', 'bad or empty template',
                'error in template language', 'typofix', 'blacklisted', 'spam reporter'
            ][TRY_CAST(event."StateID" AS INTEGER)]
        END AS error,
        COALESCE(LOWER(COALESCE(event.hard_bounce, event."IsStatePermanent")) IN ('true', '1'), FALSE) AS is_hard,
        COALESCE(object_text(event."Payload"), '{}') AS payload,
        CASE WHEN event."ClickedAt" IS NOT NULL THEN TRY(JSON_TRANSFORM(record, '{"Url": "VARCHAR"}')."Url") ELSE event.url END AS url
    FROM parsed_events
),

typed_events AS (
    SELECT
        *,
        CASE
            WHEN error = 'greylisted' AND NOT is_hard THEN 'deferred'
            WHEN nullif_blank(name) IS NOT NULL THEN COALESCE(MAP {
                'sent': 'delivered',
                'bounce': 'bounced',
                'blocked': 'rejected',
                'open': 'opened',
                'click': 'clicked',
                'spam': 'complained',
                'unsub': 'unsubscribed'
            }[name], 'unknown')
        END AS event_type
    FROM named_events
)

SELECT
    file,
    document,
    record,
    event IS NOT NULL AS is_readable,
    is_message AND name IS NULL AS is_ignored,
    event_type,
    COALESCE(epoch_time(event.time, 1000000), iso_time(pulled_time)) AS occurred_at,
    CONCAT_WS(
        '|', name, COALESCE(event."ID", ''), COALESCE(event."MessageID", ''), LOWER(TRIM(COALESCE(event.email, ''))),
        TRIM(COALESCE(event.time, pulled_time)), COALESCE(url, ''), COALESCE(event.ip, '')
    ) AS key_parts,
    COALESCE(event.email, event."ContactAlt") AS email,
    -- In rows of bouncestatistics and message, ID is the message's id.
    COALESCE(event."MessageID", CASE WHEN event."BouncedAt" IS NOT NULL OR is_message THEN event."ID" END) AS message_id,
    CASE
        WHEN nullif_blank(event."CustomID") IS NULL THEN payload
        ELSE CAST(JSON_MERGE_PATCH(JSON_OBJECT('CustomID', event."CustomID"), payload) AS VARCHAR)
    END AS metadata,
    url,
    COALESCE(event.agent, event."UserAgentFull") AS user_agent,
    CASE
        WHEN event_type = 'deferred' THEN 'soft'
        WHEN event_type != 'bounced' THEN NULL
        WHEN is_hard THEN 'hard'
        WHEN error IN ('sender blocked', 'content blocked', 'policy issue', 'blacklisted') THEN 'block'
        ELSE 'soft'
    END AS bounce_class,
    CASE
        WHEN event_type = 'complained' THEN 'spam'
        WHEN event_type NOT IN ('bounced', 'rejected') OR error IS NULL THEN NULL
        WHEN error IN ('user unknown', 'mailbox inactive', 'quota exceeded', 'invalid domain', 'no mail host', 'relay/access denied') THEN 'bounced'
        WHEN error IN ('blacklisted', 'sender blocked', 'content blocked', 'policy issue', 'preblocked') THEN 'blocked'
        WHEN error = 'spam reporter' THEN 'spam'
        WHEN error = 'typofix' THEN 'invalid'
        ELSE 'other'
    END AS reject_reason,
    COALESCE(nullif_blank(event.smtp_reply), event.comment) AS mta_response,
    name = 'blocked' AND error IN ('preblocked', 'spam preblocked', 'blacklisted', 'spam reporter') AS is_suppressed,
    event.customcampaign AS tags
FROM typed_events
