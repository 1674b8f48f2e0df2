-- certificate_parts: the parts that a certificate's recipients and sent mails add up to, and what the mail logs can know.
--
-- Grain   one row per certificate in scope with at least one recipient
-- Reads   recipient_outcomes, recipient_states
-- Params  those of recipient_outcomes
-- Counts  recipients = sent + not_sent; sent = delivered + bounced + rejected_after_sending + waiting + unknown. Of the
--         unknown before_logs were mailed before the mail logs begin. Known are the recipients whose mail the logs can
--         tell: all but those mailed before the logs begin
SELECT
    recipient_outcomes.certificate_id,
    COUNT(*) FILTER (WHERE recipient_states.sent_at IS NULL) AS not_sent_count,
    COUNT(recipient_states.sent_at) FILTER (WHERE recipient_outcomes.outcome = 'rejected') AS rejected_after_sending_count,
    COUNT(*) FILTER (WHERE recipient_outcomes.outcome = 'waiting') AS waiting_count,
    COUNT(*) FILTER (WHERE recipient_outcomes.outcome = 'unknown') AS unknown_count,
    COUNT(*) FILTER (WHERE recipient_outcomes.outcome = 'unknown' AND recipient_outcomes.is_before_logs) AS before_logs_count,
    COUNT(*) FILTER (WHERE NOT recipient_outcomes.is_before_logs) AS known_recipients_count,
    COUNT(claimed_at) FILTER (WHERE NOT recipient_outcomes.is_before_logs) AS known_claimed_count,
    COUNT(COALESCE(shared_at, downloaded_at)) FILTER (WHERE NOT recipient_outcomes.is_before_logs) AS known_shared_or_downloaded_count,
    COUNT(added_to_profile_at) FILTER (WHERE NOT recipient_outcomes.is_before_logs) AS known_added_to_linkedin_count,
    COUNT(opened_at) FILTER (WHERE NOT recipient_outcomes.is_before_logs) AS known_opened_count,
    COUNT(clicked_at) FILTER (WHERE NOT recipient_outcomes.is_before_logs) AS known_clicked_count
FROM recipient_outcomes
INNER JOIN recipient_states
    ON recipient_outcomes.recipient_id = recipient_states.recipient_id
GROUP BY recipient_outcomes.certificate_id
