-- certificate_figures: the catalogue of a certificate, its bounces by class, and the industry's own rates.
--
-- Grain   one row per certificate in scope that was created before period_end
-- Reads   certificate_statistics, recipient_states, latest_bounces
-- Params  those of certificate_statistics
-- Counts  opened and clicked among the delivered, over delivered; bounced over sent; a bounce without class is
--         undetermined, so that the classes add up to bounced_count
WITH
mail_counts AS (
    SELECT
        recipient_states.certificate_id,
        COUNT(*) FILTER (WHERE outcome = 'bounced' AND bounce_class = 'hard') AS bounced_hard_count,
        COUNT(*) FILTER (WHERE outcome = 'bounced' AND bounce_class = 'soft') AS bounced_soft_count,
        COUNT(*) FILTER (WHERE outcome = 'bounced' AND bounce_class = 'block') AS bounced_block_count,
        COUNT(*) FILTER (
            WHERE outcome = 'bounced' AND COALESCE(bounce_class, 'undetermined') = 'undetermined'
        ) AS bounced_undetermined_count,
        COUNT(opened_at) FILTER (WHERE outcome = 'delivered') AS opened_of_delivered_count,
        COUNT(clicked_at) FILTER (WHERE outcome = 'delivered') AS clicked_of_delivered_count
    FROM recipient_states
    LEFT JOIN latest_bounces
        ON recipient_states.recipient_id = latest_bounces.recipient_id
    GROUP BY recipient_states.certificate_id
)

SELECT
    certificate_statistics.certificate_id,
    certificate_statistics.name,
    certificate_statistics.kind,
    certificate_statistics.issuer_id,
    certificate_statistics.created_at,
    certificate_statistics.recipients_count,
    certificate_statistics.claimed_count,
    certificate_statistics.claimed_rate,
    certificate_statistics.shared_or_downloaded_count,
    certificate_statistics.shared_or_downloaded_rate,
    certificate_statistics.added_to_linkedin_count,
    certificate_statistics.added_to_linkedin_rate,
    certificate_statistics.sent_count,
    certificate_statistics.sent_rate,
    certificate_statistics.delivered_count,
    certificate_statistics.delivered_rate,
    certificate_statistics.bounced_count,
    certificate_statistics.bounced_rate,
    certificate_statistics.rejected_count,
    certificate_statistics.rejected_rate,
    certificate_statistics.opened_count,
    certificate_statistics.opened_rate,
    certificate_statistics.machine_only_opened_count,
    certificate_statistics.machine_only_opened_rate,
    certificate_statistics.clicked_count,
    certificate_statistics.clicked_rate,
    certificate_statistics.machine_only_clicked_count,
    certificate_statistics.machine_only_clicked_rate,
    certificate_statistics.complained_count,
    certificate_statistics.complained_rate,
    certificate_statistics.unsubscribed_count,
    certificate_statistics.unsubscribed_rate,
    COALESCE(mail_counts.bounced_hard_count, 0) AS bounced_hard_count,
    COALESCE(mail_counts.bounced_soft_count, 0) AS bounced_soft_count,
    COALESCE(mail_counts.bounced_block_count, 0) AS bounced_block_count,
    COALESCE(mail_counts.bounced_undetermined_count, 0) AS bounced_undetermined_count,
    COALESCE(mail_counts.opened_of_delivered_count, 0) AS opened_of_delivered_count,
    1.0 * mail_counts.opened_of_delivered_count / NULLIF(certificate_statistics.delivered_count, 0) AS opened_of_delivered_rate,
    COALESCE(mail_counts.clicked_of_delivered_count, 0) AS clicked_of_delivered_count,
    1.0 * mail_counts.clicked_of_delivered_count / NULLIF(certificate_statistics.delivered_count, 0) AS clicked_of_delivered_rate,
    1.0 * certificate_statistics.bounced_count / NULLIF(certificate_statistics.sent_count, 0) AS bounced_of_sent_rate
FROM certificate_statistics
LEFT JOIN mail_counts
    ON certificate_statistics.certificate_id = mail_counts.certificate_id
ORDER BY certificate_statistics.name NULLS LAST, certificate_statistics.certificate_id NULLS LAST
