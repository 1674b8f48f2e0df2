-- listed_recipients: the furthest state that a recipient reached, and the reason if the mail bounced.
--
-- Grain   one row per recipient in scope
-- Reads   recipient_states, scoped_recipients, latest_bounces
-- Params  those of recipient_states
-- Counts  the furthest of not_sent, sent, deferred, the outcome, opened, clicked, claimed, downloaded, shared and
--         added_to_profile; deferred only while there is no outcome
SELECT
    scoped_recipients.certificate_id,
    scoped_recipients.recipient_id,
    scoped_recipients.email,
    scoped_recipients.name,
    CASE
        WHEN recipient_states.added_to_profile_at IS NOT NULL THEN 'added_to_profile'
        WHEN recipient_states.shared_at IS NOT NULL THEN 'shared'
        WHEN recipient_states.downloaded_at IS NOT NULL THEN 'downloaded'
        WHEN recipient_states.claimed_at IS NOT NULL THEN 'claimed'
        WHEN recipient_states.clicked_at IS NOT NULL THEN 'clicked'
        WHEN recipient_states.opened_at IS NOT NULL THEN 'opened'
        WHEN recipient_states.outcome IS NOT NULL THEN recipient_states.outcome
        WHEN recipient_states.deferred_at IS NOT NULL THEN 'deferred'
        WHEN recipient_states.sent_at IS NOT NULL THEN 'sent'
        ELSE 'not_sent'
    END AS status,
    COALESCE(recipient_states.outcome = 'bounced', FALSE) AS is_bounced,
    latest_bounces.bounce_class,
    latest_bounces.bounce_reason,
    recipient_states.last_event_at
FROM scoped_recipients
INNER JOIN recipient_states
    ON scoped_recipients.recipient_id = recipient_states.recipient_id
LEFT JOIN latest_bounces
    ON scoped_recipients.recipient_id = latest_bounces.recipient_id
ORDER BY scoped_recipients.certificate_id NULLS LAST, scoped_recipients.recipient_id NULLS LAST
