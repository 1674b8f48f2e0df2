-- metric_catalogue: the metric catalogue, version 1, of a certificate at an instant.
--
-- Grain   one row per certificate in scope that was created before period_end
-- Reads   recipient_states, scoped_certificates
-- Params  period_end TIMESTAMP, the first instant that does not count; and those of recipient_states
-- Counts  distinct recipients; rates are NULL without recipients. A click counts as an open too, since it proves one;
--         claims, shares, downloads and additions to a profile count only if a person made them
WITH
counts AS (
    SELECT
        scoped_certificates.certificate_id,
        scoped_certificates.issuer_id,
        scoped_certificates.name,
        scoped_certificates.kind,
        scoped_certificates.created_at,
        COUNT(recipient_states.recipient_id) AS recipients_count,
        COUNT(recipient_states.claimed_at) AS claimed_count,
        COUNT(COALESCE(recipient_states.shared_at, recipient_states.downloaded_at)) AS shared_or_downloaded_count,
        COUNT(recipient_states.added_to_profile_at) AS added_to_linkedin_count,
        COUNT(recipient_states.sent_at) AS sent_count,
        COUNT(*) FILTER (WHERE recipient_states.outcome = 'delivered') AS delivered_count,
        COUNT(*) FILTER (WHERE recipient_states.outcome = 'bounced') AS bounced_count,
        COUNT(*) FILTER (WHERE recipient_states.outcome = 'rejected') AS rejected_count,
        COUNT(recipient_states.opened_at) AS opened_count,
        COUNT(recipient_states.machine_opened_at) FILTER (WHERE recipient_states.opened_at IS NULL) AS machine_only_opened_count,
        COUNT(recipient_states.clicked_at) AS clicked_count,
        COUNT(recipient_states.machine_clicked_at) FILTER (WHERE recipient_states.clicked_at IS NULL) AS machine_only_clicked_count,
        COUNT(recipient_states.complained_at) AS complained_count,
        COUNT(recipient_states.unsubscribed_at) AS unsubscribed_count
    FROM scoped_certificates
    LEFT JOIN recipient_states
        ON scoped_certificates.certificate_id = recipient_states.certificate_id
    WHERE scoped_certificates.created_at < :period_end
    GROUP BY
        scoped_certificates.certificate_id,
        scoped_certificates.issuer_id,
        scoped_certificates.name,
        scoped_certificates.kind,
        scoped_certificates.created_at
)

SELECT
    certificate_id,
    issuer_id,
    name,
    kind,
    created_at,
    recipients_count,
    claimed_count,
    1e0 * claimed_count / NULLIF(recipients_count, 0) AS claimed_rate,
    shared_or_downloaded_count,
    1e0 * shared_or_downloaded_count / NULLIF(recipients_count, 0) AS shared_or_downloaded_rate,
    added_to_linkedin_count,
    1e0 * added_to_linkedin_count / NULLIF(recipients_count, 0) AS added_to_linkedin_rate,
    sent_count,
    1e0 * sent_count / NULLIF(recipients_count, 0) AS sent_rate,
    delivered_count,
    1e0 * delivered_count / NULLIF(recipients_count, 0) AS delivered_rate,
    bounced_count,
    1e0 * bounced_count / NULLIF(recipients_count, 0) AS bounced_rate,
    rejected_count,
    1e0 * rejected_count / NULLIF(recipients_count, 0) AS rejected_rate,
    opened_count,
    1e0 * opened_count / NULLIF(recipients_count, 0) AS opened_rate,
    machine_only_opened_count,
    1e0 * machine_only_opened_count / NULLIF(recipients_count, 0) AS machine_only_opened_rate,
    clicked_count,
    1e0 * clicked_count / NULLIF(recipients_count, 0) AS clicked_rate,
    machine_only_clicked_count,
    1e0 * machine_only_clicked_count / NULLIF(recipients_count, 0) AS machine_only_clicked_rate,
    complained_count,
    1e0 * complained_count / NULLIF(recipients_count, 0) AS complained_rate,
    unsubscribed_count,
    1e0 * unsubscribed_count / NULLIF(recipients_count, 0) AS unsubscribed_rate
FROM counts
ORDER BY certificate_id NULLS LAST
