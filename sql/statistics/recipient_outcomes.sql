-- recipient_outcomes: what became of a recipient's access e-mail, in parts that add up to all recipients.
--
-- Grain   one row per recipient in scope
-- Reads   recipient_states
-- Params  mail_logs_begin_at TIMESTAMP or NULL, the first instant that a mail log is expected to cover; and those of
--         recipient_states
-- Counts  outcome is one of delivered, bounced, rejected, waiting (deferred so far), unknown and not_sent. Who is rejected
--         is not sent either where nothing says that the mail was handed over. is_before_logs says that no log can know
--         the mail
SELECT
    recipient_id,
    certificate_id,
    CASE
        WHEN outcome IS NOT NULL THEN outcome
        WHEN sent_at IS NULL THEN 'not_sent'
        WHEN deferred_at IS NOT NULL THEN 'waiting'
        ELSE 'unknown'
    END AS outcome,
    COALESCE(sent_at < CAST(:mail_logs_begin_at AS TIMESTAMP), FALSE) AS is_before_logs
FROM recipient_states
