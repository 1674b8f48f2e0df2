-- certificate_shares: how many recipients shared a certificate on a channel.
--
-- Grain   one row per certificate in scope and channel with at least one share
-- Reads   events, identity_recipients, scoped_recipients
-- Params  period_end TIMESTAMP, the first instant that does not count; and those of scoped_recipients
-- Counts  a person's shares by the buttons of the Recipient View page; a file posted by hand cannot be seen
SELECT
    scoped_recipients.certificate_id,
    events.channel,
    COUNT(DISTINCT scoped_recipients.recipient_id) AS recipients_count
FROM events
INNER JOIN identity_recipients
    ON events.identity_key = identity_recipients.identity_key
INNER JOIN scoped_recipients
    ON identity_recipients.recipient_id = scoped_recipients.recipient_id
WHERE
    events.event_type = 'shared'
    AND NOT events.is_machine
    AND events.occurred_at < :period_end
GROUP BY scoped_recipients.certificate_id, events.channel
ORDER BY scoped_recipients.certificate_id ASC NULLS LAST, recipients_count DESC NULLS LAST, events.channel ASC NULLS LAST
