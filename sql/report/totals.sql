-- totals: the figures of a report's first page, summed over its certificates.
--
-- Grain   one row
-- Reads   certificate_figures, people
-- Params  those of certificate_figures
-- Counts  who has two certificates is two recipients and one of the people
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
        CAST(COALESCE(SUM(machine_only_opened_count), 0) AS BIGINT) AS machine_only_opened_count,
        CAST(COALESCE(SUM(machine_only_clicked_count), 0) AS BIGINT) AS machine_only_clicked_count,
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
    sums.certificates_count,
    sums.recipients_count,
    people.people_count,
    people.claimed_people_count,
    sums.claimed_count,
    1e0 * sums.claimed_count / NULLIF(sums.recipients_count, 0) AS claimed_rate,
    sums.shared_or_downloaded_count,
    1e0 * sums.shared_or_downloaded_count / NULLIF(sums.recipients_count, 0) AS shared_or_downloaded_rate,
    sums.added_to_linkedin_count,
    1e0 * sums.added_to_linkedin_count / NULLIF(sums.recipients_count, 0) AS added_to_linkedin_rate,
    sums.sent_count,
    1e0 * sums.sent_count / NULLIF(sums.recipients_count, 0) AS sent_rate,
    sums.delivered_count,
    1e0 * sums.delivered_count / NULLIF(sums.recipients_count, 0) AS delivered_rate,
    sums.bounced_count,
    1e0 * sums.bounced_count / NULLIF(sums.recipients_count, 0) AS bounced_rate,
    sums.opened_count,
    1e0 * sums.opened_count / NULLIF(sums.recipients_count, 0) AS opened_rate,
    sums.clicked_count,
    1e0 * sums.clicked_count / NULLIF(sums.recipients_count, 0) AS clicked_rate,
    sums.machine_only_opened_count,
    sums.machine_only_clicked_count,
    sums.not_sent_count,
    sums.rejected_after_sending_count,
    sums.waiting_count,
    sums.unknown_count,
    sums.before_logs_count,
    sums.known_recipients_count,
    sums.known_claimed_count,
    1e0 * sums.known_claimed_count / NULLIF(sums.known_recipients_count, 0) AS known_claimed_rate,
    sums.known_shared_or_downloaded_count,
    1e0 * sums.known_shared_or_downloaded_count / NULLIF(sums.known_recipients_count, 0) AS known_shared_or_downloaded_rate,
    sums.known_added_to_linkedin_count,
    1e0 * sums.known_added_to_linkedin_count / NULLIF(sums.known_recipients_count, 0) AS known_added_to_linkedin_rate,
    sums.known_opened_count,
    1e0 * sums.known_opened_count / NULLIF(sums.known_recipients_count, 0) AS known_opened_rate,
    sums.known_clicked_count,
    1e0 * sums.known_clicked_count / NULLIF(sums.known_recipients_count, 0) AS known_clicked_rate
FROM sums
CROSS JOIN people
