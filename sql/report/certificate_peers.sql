-- certificate_peers: a certificate beside the issuer's other certificates and badges, each counted alike.
--
-- Grain   one row per certificate in scope with at least one recipient, and measure: opened_of_delivered,
--         clicked_of_delivered and bounced_of_sent as in certificate_figures; and claimed, shared_or_downloaded and
--         added_to_linkedin, within the first peer_days days
-- Reads   certificate_figures, observed_recipients
-- Params  peer_days INTEGER, who was added so many days before period_end is old enough
--         peer_recipients INTEGER, a certificate with so many old enough recipients is one of the others
--         period_end TIMESTAMP, the first instant that does not count; and those of certificate_figures and of
--         observed_recipients
-- Counts  within_count is of the old enough alone, so that a young certificate is not set beside an old one. others_rate is the
--         middle rate of the others, the mean of the two middle ones where their number is even; NULL without any
WITH
old_enough AS (
    SELECT
        certificate_id,
        claimed_at < created_at + :peer_days * INTERVAL '1' DAY AS is_claimed,
        shared_or_downloaded_at < created_at + :peer_days * INTERVAL '1' DAY AS is_shared_or_downloaded,
        added_to_profile_at < created_at + :peer_days * INTERVAL '1' DAY AS is_added_to_linkedin
    FROM observed_recipients
    WHERE created_at + :peer_days * INTERVAL '1' DAY <= :period_end
),

early_counts AS (
    SELECT
        certificate_id,
        COUNT(*) AS recipients_count,
        COUNT(*) FILTER (WHERE is_claimed) AS claimed_count,
        COUNT(*) FILTER (WHERE is_shared_or_downloaded) AS shared_or_downloaded_count,
        COUNT(*) FILTER (WHERE is_added_to_linkedin) AS added_to_linkedin_count
    FROM old_enough
    GROUP BY certificate_id
),

figures AS (
    SELECT
        certificate_figures.certificate_id,
        certificate_figures.opened_of_delivered_count,
        certificate_figures.clicked_of_delivered_count,
        certificate_figures.delivered_count,
        certificate_figures.bounced_count,
        certificate_figures.sent_count,
        COALESCE(early_counts.claimed_count, 0) AS claimed_count,
        COALESCE(early_counts.shared_or_downloaded_count, 0) AS shared_or_downloaded_count,
        COALESCE(early_counts.added_to_linkedin_count, 0) AS added_to_linkedin_count,
        COALESCE(early_counts.recipients_count, 0) AS old_enough_count
    FROM certificate_figures
    LEFT JOIN early_counts
        ON certificate_figures.certificate_id = early_counts.certificate_id
    WHERE certificate_figures.recipients_count > 0
),

measures AS (
    SELECT
        figures.certificate_id,
        names.measure,
        figures.old_enough_count >= :peer_recipients AS is_peer,
        CASE names.measure
            WHEN 'opened_of_delivered' THEN figures.opened_of_delivered_count
            WHEN 'clicked_of_delivered' THEN figures.clicked_of_delivered_count
            WHEN 'bounced_of_sent' THEN figures.bounced_count
            WHEN 'claimed' THEN figures.claimed_count
            WHEN 'shared_or_downloaded' THEN figures.shared_or_downloaded_count
            ELSE figures.added_to_linkedin_count
        END AS counted,
        CASE
            WHEN names.measure IN ('opened_of_delivered', 'clicked_of_delivered') THEN figures.delivered_count
            WHEN names.measure = 'bounced_of_sent' THEN figures.sent_count
            ELSE figures.old_enough_count
        END AS of_count
    FROM figures
    CROSS JOIN (VALUES
        ('opened_of_delivered'), ('clicked_of_delivered'), ('bounced_of_sent'),
        ('claimed'), ('shared_or_downloaded'), ('added_to_linkedin')
    ) AS names (measure)
),

others AS (
    SELECT
        measures.certificate_id,
        measures.measure,
        COUNT(*) AS others_count,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY 1e0 * peers.counted / peers.of_count) AS others_rate
    FROM measures
    INNER JOIN measures AS peers
        ON
            measures.measure = peers.measure
            AND measures.certificate_id <> peers.certificate_id
    WHERE
        peers.is_peer
        AND peers.of_count > 0
    GROUP BY measures.certificate_id, measures.measure
)

SELECT
    measures.certificate_id,
    measures.measure,
    measures.counted AS within_count,
    measures.of_count,
    1e0 * measures.counted / NULLIF(measures.of_count, 0) AS within_rate,
    COALESCE(others.others_count, 0) AS others_count,
    others.others_rate
FROM measures
LEFT JOIN others
    ON
        measures.certificate_id = others.certificate_id
        AND measures.measure = others.measure
ORDER BY measures.certificate_id NULLS LAST, measures.measure NULLS LAST
