-- reported_recipients: a report's list of recipients, from which every printed count can be recounted.
--
-- Grain   one row per recipient in scope
-- Reads   listed_recipients, recipient_outcomes, recipient_states, recipient_todos, recipient_news
-- Params  those of recipient_outcomes and of recipient_news
-- Counts  times are a person's first, but delivered_at and bounced_at are the last of their kind. is_bounced says that the
--         outcome is bounced, also where nothing says that the mail was sent.
SELECT
    listed_recipients.certificate_id,
    listed_recipients.recipient_id,
    listed_recipients.name,
    listed_recipients.email,
    listed_recipients.status,
    listed_recipients.is_bounced,
    recipient_outcomes.outcome,
    recipient_outcomes.is_before_logs,
    recipient_todos.todo,
    recipient_news.is_new_todo,
    recipient_news.new,
    recipient_states.sent_at,
    recipient_states.last_delivered_at AS delivered_at,
    recipient_states.last_bounced_at AS bounced_at,
    recipient_states.opened_at,
    recipient_states.clicked_at,
    recipient_states.claimed_at,
    recipient_states.downloaded_at,
    recipient_states.shared_at,
    recipient_states.added_to_profile_at,
    recipient_states.machine_opened_at,
    recipient_states.machine_clicked_at,
    recipient_states.complained_at,
    recipient_states.unsubscribed_at,
    listed_recipients.bounce_class,
    listed_recipients.bounce_reason,
    recipient_todos.did_you_mean,
    listed_recipients.last_event_at
FROM listed_recipients
INNER JOIN recipient_outcomes
    ON listed_recipients.recipient_id = recipient_outcomes.recipient_id
INNER JOIN recipient_states
    ON listed_recipients.recipient_id = recipient_states.recipient_id
INNER JOIN recipient_news
    ON listed_recipients.recipient_id = recipient_news.recipient_id
LEFT JOIN recipient_todos
    ON listed_recipients.recipient_id = recipient_todos.recipient_id
ORDER BY listed_recipients.certificate_id NULLS LAST, listed_recipients.recipient_id NULLS LAST
