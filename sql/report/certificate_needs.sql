-- certificate_needs: how much a certificate needs its issuer, and whether anything happened to it in the period.
--
-- Grain   one row per certificate in scope with at least one recipient
-- Reads   recipient_todos, recipient_states, scoped_recipients
-- Params  period_start TIMESTAMP, the first instant of the period; and those of recipient_todos
-- Counts  claims_to_gain_count is of recipients with something to do that can bring a claim: all but an invitation to share.
--         changed_count is of recipients who were added in the period, or with the first of any action in it, or with a mail
--         delivered or bounced in it
SELECT
    scoped_recipients.certificate_id,
    COUNT(*) FILTER (WHERE recipient_todos.todo <> 'remind_to_share') AS claims_to_gain_count,
    COUNT(*) FILTER (
        WHERE
        GREATEST(
            scoped_recipients.created_at, recipient_states.sent_at, recipient_states.last_delivered_at,
            recipient_states.last_bounced_at, recipient_states.opened_at, recipient_states.clicked_at,
            recipient_states.claimed_at, recipient_states.downloaded_at, recipient_states.shared_at,
            recipient_states.added_to_profile_at, recipient_states.complained_at, recipient_states.unsubscribed_at
        ) >= :period_start
    ) AS changed_count
FROM scoped_recipients
INNER JOIN recipient_states
    ON scoped_recipients.recipient_id = recipient_states.recipient_id
LEFT JOIN recipient_todos
    ON scoped_recipients.recipient_id = recipient_todos.recipient_id
GROUP BY scoped_recipients.certificate_id
ORDER BY scoped_recipients.certificate_id NULLS LAST
