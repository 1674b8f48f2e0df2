-- totals: the figures of a report's first page, summed over its certificates.
--
-- Grain   one row
-- Reads   certificate_figures
-- Params  those of certificate_figures
-- Counts  a person with two certificates is two recipients
WITH
sums AS (
    SELECT
        COUNT(*) AS certificates_count,
        CAST(COALESCE(SUM(recipients_count), 0) AS BIGINT) AS recipients_count,
        CAST(COALESCE(SUM(claimed_count), 0) AS BIGINT) AS claimed_count,
        CAST(COALESCE(SUM(shared_or_downloaded_count), 0) AS BIGINT) AS shared_or_downloaded_count,
        CAST(COALESCE(SUM(added_to_linkedin_count), 0) AS BIGINT) AS added_to_linkedin_count,
        CAST(COALESCE(SUM(sent_count), 0) AS BIGINT) AS sent_count,
        CAST(COALESCE(SUM(delivered_count), 0) AS BIGINT) AS delivered_count,
        CAST(COALESCE(SUM(bounced_count), 0) AS BIGINT) AS bounced_count,
        CAST(COALESCE(SUM(opened_count), 0) AS BIGINT) AS opened_count,
        CAST(COALESCE(SUM(clicked_count), 0) AS BIGINT) AS clicked_count,
        CAST(COALESCE(SUM(not_sent_count), 0) AS BIGINT) AS not_sent_count,
        CAST(COALESCE(SUM(rejected_after_sending_count), 0) AS BIGINT) AS rejected_after_sending_count,
        CAST(COALESCE(SUM(waiting_count), 0) AS BIGINT) AS waiting_count,
        CAST(COALESCE(SUM(unknown_count), 0) AS BIGINT) AS unknown_count,
        CAST(COALESCE(SUM(before_logs_count), 0) AS BIGINT) AS before_logs_count,
        CAST(COALESCE(SUM(known_recipients_count), 0) AS BIGINT) AS known_recipients_count,
        CAST(COALESCE(SUM(known_claimed_count), 0) AS BIGINT) AS known_claimed_count,
        CAST(COALESCE(SUM(known_shared_or_downloaded_count), 0) AS BIGINT) AS known_shared_or_downloaded_count,
        CAST(COALESCE(SUM(known_added_to_linkedin_count), 0) AS BIGINT) AS known_added_to_linkedin_count,
        CAST(COALESCE(SUM(known_opened_count), 0) AS BIGINT) AS known_opened_count,
        CAST(COALESCE(SUM(known_clicked_count), 0) AS BIGINT) AS known_clicked_count
    FROM certificate_figures
)

SELECT
    certificates_count,
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
    opened_count,
    1e0 * opened_count / NULLIF(recipients_count, 0) AS opened_rate,
    clicked_count,
    1e0 * clicked_count / NULLIF(recipients_count, 0) AS clicked_rate,
    not_sent_count,
    rejected_after_sending_count,
    waiting_count,
    unknown_count,
    before_logs_count,
    known_recipients_count,
    known_claimed_count,
    1e0 * known_claimed_count / NULLIF(known_recipients_count, 0) AS known_claimed_rate,
    known_shared_or_downloaded_count,
    1e0 * known_shared_or_downloaded_count / NULLIF(known_recipients_count, 0) AS known_shared_or_downloaded_rate,
    known_added_to_linkedin_count,
    1e0 * known_added_to_linkedin_count / NULLIF(known_recipients_count, 0) AS known_added_to_linkedin_rate,
    known_opened_count,
    1e0 * known_opened_count / NULLIF(known_recipients_count, 0) AS known_opened_rate,
    known_clicked_count,
    1e0 * known_clicked_count / NULLIF(known_recipients_count, 0) AS known_clicked_rate
FROM sums
