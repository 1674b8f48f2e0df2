-- totals: the figures of a report's first page, summed over its certificates.
--
-- Grain   one row
-- Reads   metric_catalogue
-- Params  those of metric_catalogue
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
        CAST(COALESCE(SUM(clicked_count), 0) AS BIGINT) AS clicked_count
    FROM metric_catalogue
)

SELECT
    certificates_count,
    recipients_count,
    claimed_count,
    1.0 * claimed_count / NULLIF(recipients_count, 0) AS claimed_rate,
    shared_or_downloaded_count,
    1.0 * shared_or_downloaded_count / NULLIF(recipients_count, 0) AS shared_or_downloaded_rate,
    added_to_linkedin_count,
    1.0 * added_to_linkedin_count / NULLIF(recipients_count, 0) AS added_to_linkedin_rate,
    sent_count,
    1.0 * sent_count / NULLIF(recipients_count, 0) AS sent_rate,
    delivered_count,
    1.0 * delivered_count / NULLIF(recipients_count, 0) AS delivered_rate,
    bounced_count,
    1.0 * bounced_count / NULLIF(recipients_count, 0) AS bounced_rate,
    opened_count,
    1.0 * opened_count / NULLIF(recipients_count, 0) AS opened_rate,
    clicked_count,
    1.0 * clicked_count / NULLIF(recipients_count, 0) AS clicked_rate
FROM sums
