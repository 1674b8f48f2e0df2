-- receiving_domains: what became of the access e-mails at each receiving domain.
--
-- Grain   one row per domain among the most_domains with the most mails sent, and one with domain NULL for all others
-- Reads   scoped_recipients, recipient_states, latest_bounces
-- Params  most_domains INTEGER, how many domains have their own row; and those of recipient_states
-- Counts  the domain is what follows the last @ of the registry's address, in lower case. A single other domain has its own
--         row. Every column adds up to the totals of the report; delivered and bounced are divided by sent, opened by
--         delivered, claimed by recipients, as the industry does
WITH
domain_recipients AS (
    SELECT
        LOWER(SPLIT_PART(scoped_recipients.email, '@', -1)) AS domain,
        recipient_states.sent_at,
        recipient_states.outcome,
        recipient_states.opened_at,
        recipient_states.claimed_at,
        CASE WHEN recipient_states.outcome = 'bounced' THEN COALESCE(latest_bounces.bounce_class, 'undetermined') END AS bounce_class
    FROM scoped_recipients
    INNER JOIN recipient_states
        ON scoped_recipients.recipient_id = recipient_states.recipient_id
    LEFT JOIN latest_bounces
        ON scoped_recipients.recipient_id = latest_bounces.recipient_id
),

domain_counts AS (
    SELECT
        domain,
        COUNT(*) AS recipients_count,
        COUNT(sent_at) AS sent_count,
        COUNT(*) FILTER (WHERE outcome = 'delivered') AS delivered_count,
        COUNT(*) FILTER (WHERE outcome = 'bounced') AS bounced_count,
        COUNT(*) FILTER (WHERE bounce_class = 'hard') AS bounced_hard_count,
        COUNT(*) FILTER (WHERE bounce_class = 'soft') AS bounced_soft_count,
        COUNT(*) FILTER (WHERE bounce_class = 'block') AS bounced_block_count,
        COUNT(*) FILTER (WHERE bounce_class = 'undetermined') AS bounced_undetermined_count,
        COUNT(opened_at) FILTER (WHERE outcome = 'delivered') AS opened_of_delivered_count,
        COUNT(claimed_at) AS claimed_count
    FROM domain_recipients
    GROUP BY domain
),

ranked_domains AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            ORDER BY sent_count DESC NULLS LAST, recipients_count DESC NULLS LAST, domain ASC NULLS LAST
        ) AS domain_rank,
        COUNT(*) OVER () AS domains_count
    FROM domain_counts
),

named_domains AS (
    SELECT
        *,
        CASE WHEN domain_rank <= :most_domains OR domains_count = :most_domains + 1 THEN domain END AS named_domain
    FROM ranked_domains
),

sums AS (
    SELECT
        named_domain AS domain,
        COUNT(*) AS domains_count,
        MIN(domain_rank) AS domain_rank,
        CAST(SUM(recipients_count) AS BIGINT) AS recipients_count,
        CAST(SUM(sent_count) AS BIGINT) AS sent_count,
        CAST(SUM(delivered_count) AS BIGINT) AS delivered_count,
        CAST(SUM(bounced_count) AS BIGINT) AS bounced_count,
        CAST(SUM(bounced_hard_count) AS BIGINT) AS bounced_hard_count,
        CAST(SUM(bounced_soft_count) AS BIGINT) AS bounced_soft_count,
        CAST(SUM(bounced_block_count) AS BIGINT) AS bounced_block_count,
        CAST(SUM(bounced_undetermined_count) AS BIGINT) AS bounced_undetermined_count,
        CAST(SUM(opened_of_delivered_count) AS BIGINT) AS opened_of_delivered_count,
        CAST(SUM(claimed_count) AS BIGINT) AS claimed_count
    FROM named_domains
    GROUP BY named_domain
)

SELECT
    domain,
    domains_count,
    recipients_count,
    sent_count,
    delivered_count,
    1e0 * delivered_count / NULLIF(sent_count, 0) AS delivered_of_sent_rate,
    bounced_count,
    1e0 * bounced_count / NULLIF(sent_count, 0) AS bounced_of_sent_rate,
    bounced_hard_count,
    bounced_soft_count,
    bounced_block_count,
    bounced_undetermined_count,
    opened_of_delivered_count,
    1e0 * opened_of_delivered_count / NULLIF(delivered_count, 0) AS opened_of_delivered_rate,
    claimed_count,
    1e0 * claimed_count / NULLIF(recipients_count, 0) AS claimed_rate
FROM sums
ORDER BY domain_rank NULLS LAST
