-- certificate_figures: the catalogue of a certificate, its bounces by class, and the rates that the industry uses.
--
-- Grain   one row per certificate in scope that was created before period_end
-- Reads   metric_catalogue, certificate_parts, recipient_states, latest_bounces
-- Params  those of metric_catalogue and of certificate_parts
-- Counts  the industry's rates are opened and clicked among the delivered, divided by delivered, and bounced divided by
--         sent; a bounce without class is undetermined, so that the classes add up to bounced_count
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
        COUNT(machine_opened_at) AS machine_opened_count,
        COUNT(machine_clicked_at) AS machine_clicked_count,
        COUNT(opened_at) FILTER (WHERE outcome = 'delivered') AS opened_of_delivered_count,
        COUNT(clicked_at) FILTER (WHERE outcome = 'delivered') AS clicked_of_delivered_count
    FROM recipient_states
    LEFT JOIN latest_bounces
        ON recipient_states.recipient_id = latest_bounces.recipient_id
    GROUP BY recipient_states.certificate_id
)

SELECT
    metric_catalogue.certificate_id,
    metric_catalogue.name,
    metric_catalogue.kind,
    metric_catalogue.issuer_id,
    metric_catalogue.created_at,
    metric_catalogue.recipients_count,
    metric_catalogue.claimed_count,
    metric_catalogue.claimed_rate,
    metric_catalogue.shared_or_downloaded_count,
    metric_catalogue.shared_or_downloaded_rate,
    metric_catalogue.added_to_linkedin_count,
    metric_catalogue.added_to_linkedin_rate,
    metric_catalogue.sent_count,
    metric_catalogue.sent_rate,
    metric_catalogue.delivered_count,
    metric_catalogue.delivered_rate,
    metric_catalogue.bounced_count,
    metric_catalogue.bounced_rate,
    metric_catalogue.rejected_count,
    metric_catalogue.rejected_rate,
    metric_catalogue.opened_count,
    metric_catalogue.opened_rate,
    metric_catalogue.machine_only_opened_count,
    metric_catalogue.machine_only_opened_rate,
    metric_catalogue.clicked_count,
    metric_catalogue.clicked_rate,
    metric_catalogue.machine_only_clicked_count,
    metric_catalogue.machine_only_clicked_rate,
    metric_catalogue.complained_count,
    metric_catalogue.complained_rate,
    metric_catalogue.unsubscribed_count,
    metric_catalogue.unsubscribed_rate,
    COALESCE(certificate_parts.not_sent_count, 0) AS not_sent_count,
    COALESCE(certificate_parts.rejected_after_sending_count, 0) AS rejected_after_sending_count,
    COALESCE(certificate_parts.waiting_count, 0) AS waiting_count,
    COALESCE(certificate_parts.unknown_count, 0) AS unknown_count,
    COALESCE(certificate_parts.before_logs_count, 0) AS before_logs_count,
    COALESCE(certificate_parts.known_recipients_count, 0) AS known_recipients_count,
    COALESCE(certificate_parts.known_claimed_count, 0) AS known_claimed_count,
    1e0 * certificate_parts.known_claimed_count / NULLIF(certificate_parts.known_recipients_count, 0) AS known_claimed_rate,
    COALESCE(certificate_parts.known_shared_or_downloaded_count, 0) AS known_shared_or_downloaded_count,
    1e0 * certificate_parts.known_shared_or_downloaded_count / NULLIF(certificate_parts.known_recipients_count, 0) AS known_shared_or_downloaded_rate,
    COALESCE(certificate_parts.known_added_to_linkedin_count, 0) AS known_added_to_linkedin_count,
    1e0 * certificate_parts.known_added_to_linkedin_count / NULLIF(certificate_parts.known_recipients_count, 0) AS known_added_to_linkedin_rate,
    COALESCE(certificate_parts.known_opened_count, 0) AS known_opened_count,
    1e0 * certificate_parts.known_opened_count / NULLIF(certificate_parts.known_recipients_count, 0) AS known_opened_rate,
    COALESCE(certificate_parts.known_clicked_count, 0) AS known_clicked_count,
    1e0 * certificate_parts.known_clicked_count / NULLIF(certificate_parts.known_recipients_count, 0) AS known_clicked_rate,
    COALESCE(mail_counts.machine_opened_count, 0) AS machine_opened_count,
    COALESCE(mail_counts.machine_clicked_count, 0) AS machine_clicked_count,
    COALESCE(mail_counts.bounced_hard_count, 0) AS bounced_hard_count,
    COALESCE(mail_counts.bounced_soft_count, 0) AS bounced_soft_count,
    COALESCE(mail_counts.bounced_block_count, 0) AS bounced_block_count,
    COALESCE(mail_counts.bounced_undetermined_count, 0) AS bounced_undetermined_count,
    COALESCE(mail_counts.opened_of_delivered_count, 0) AS opened_of_delivered_count,
    1e0 * mail_counts.opened_of_delivered_count / NULLIF(metric_catalogue.delivered_count, 0) AS opened_of_delivered_rate,
    COALESCE(mail_counts.clicked_of_delivered_count, 0) AS clicked_of_delivered_count,
    1e0 * mail_counts.clicked_of_delivered_count / NULLIF(metric_catalogue.delivered_count, 0) AS clicked_of_delivered_rate,
    1e0 * metric_catalogue.bounced_count / NULLIF(metric_catalogue.sent_count, 0) AS bounced_of_sent_rate
FROM metric_catalogue
LEFT JOIN certificate_parts
    ON metric_catalogue.certificate_id = certificate_parts.certificate_id
LEFT JOIN mail_counts
    ON metric_catalogue.certificate_id = mail_counts.certificate_id
ORDER BY metric_catalogue.name NULLS LAST, metric_catalogue.certificate_id NULLS LAST
