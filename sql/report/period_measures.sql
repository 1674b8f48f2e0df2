-- period_measures: what the recipients added in a period did by its end, and how much happened in the period.
--
-- Grain   one row per certificate in scope with at least one recipient, and one of all with certificate_id NULL
-- Reads   recipient_states, scoped_recipients
-- Params  period_start TIMESTAMP, the first instant of the period; and those of recipient_states, whose period_end ends it
-- Counts  *_count of the recipients who were added in the period; *_volume of all who did so for the first time in it
SELECT
    scoped_recipients.certificate_id,
    COUNT(*) FILTER (WHERE created_at >= :period_start) AS recipients_count,
    COUNT(opened_at) FILTER (WHERE created_at >= :period_start) AS opened_count,
    COUNT(claimed_at) FILTER (WHERE created_at >= :period_start) AS claimed_count,
    COUNT(COALESCE(shared_at, downloaded_at)) FILTER (WHERE created_at >= :period_start) AS shared_or_downloaded_count,
    COUNT(added_to_profile_at) FILTER (WHERE created_at >= :period_start) AS added_to_linkedin_count,
    COUNT(*) FILTER (WHERE created_at >= :period_start AND outcome = 'bounced') AS bounced_count,
    COUNT(*) FILTER (WHERE claimed_at >= :period_start) AS claimed_volume,
    COUNT(*) FILTER (WHERE LEAST(shared_at, downloaded_at) >= :period_start) AS shared_or_downloaded_volume,
    COUNT(*) FILTER (WHERE added_to_profile_at >= :period_start) AS added_to_linkedin_volume
FROM scoped_recipients
INNER JOIN recipient_states
    ON scoped_recipients.recipient_id = recipient_states.recipient_id
GROUP BY GROUPING SETS ((scoped_recipients.certificate_id), ())
ORDER BY scoped_recipients.certificate_id NULLS LAST
