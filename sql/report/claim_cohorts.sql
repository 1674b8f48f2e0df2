-- claim_cohorts: how many recipients who were added in the same week or month claimed by day 1, 3, 7 and 30.
--
-- Grain   one row per certificate in scope and span with at least one observed recipient, and one per certificate over all of
--         them, whose span_number is NULL
-- Reads   observed_recipients, spans
-- Params  period_end TIMESTAMP, the first instant that does not count; and those of observed_recipients and of spans
-- Counts  day n ends n times 24 hours after the recipient was added. Its share is of those only who were added at least n days
--         before period_end: day_n_of_count. mature_day is the last of these days that all of the cohort have behind them
WITH
members AS (
    SELECT
        observed_recipients.certificate_id,
        spans.span_number,
        observed_recipients.created_at,
        observed_recipients.claimed_at
    FROM observed_recipients
    INNER JOIN spans
        ON
            observed_recipients.created_at >= spans.start_at
            AND observed_recipients.created_at < spans.end_at
    UNION ALL
    SELECT
        certificate_id,
        CAST(NULL AS INTEGER) AS span_number,
        created_at,
        claimed_at
    FROM observed_recipients
),

ages AS (
    SELECT
        certificate_id,
        span_number,
        created_at + INTERVAL '1' DAY <= :period_end AS is_day_1,
        created_at + INTERVAL '3' DAY <= :period_end AS is_day_3,
        created_at + INTERVAL '7' DAY <= :period_end AS is_day_7,
        created_at + INTERVAL '30' DAY <= :period_end AS is_day_30,
        claimed_at < created_at + INTERVAL '1' DAY AS claimed_day_1,
        claimed_at < created_at + INTERVAL '3' DAY AS claimed_day_3,
        claimed_at < created_at + INTERVAL '7' DAY AS claimed_day_7,
        claimed_at < created_at + INTERVAL '30' DAY AS claimed_day_30
    FROM members
),

counts AS (
    SELECT
        certificate_id,
        span_number,
        COUNT(*) AS recipients_count,
        COUNT(*) FILTER (WHERE is_day_1) AS day_1_of_count,
        COUNT(*) FILTER (WHERE is_day_1 AND claimed_day_1) AS day_1_count,
        COUNT(*) FILTER (WHERE is_day_3) AS day_3_of_count,
        COUNT(*) FILTER (WHERE is_day_3 AND claimed_day_3) AS day_3_count,
        COUNT(*) FILTER (WHERE is_day_7) AS day_7_of_count,
        COUNT(*) FILTER (WHERE is_day_7 AND claimed_day_7) AS day_7_count,
        COUNT(*) FILTER (WHERE is_day_30) AS day_30_of_count,
        COUNT(*) FILTER (WHERE is_day_30 AND claimed_day_30) AS day_30_count
    FROM ages
    GROUP BY certificate_id, span_number
)

SELECT
    certificate_id,
    span_number,
    recipients_count,
    day_1_count,
    day_1_of_count,
    1e0 * day_1_count / NULLIF(day_1_of_count, 0) AS day_1_rate,
    day_3_count,
    day_3_of_count,
    1e0 * day_3_count / NULLIF(day_3_of_count, 0) AS day_3_rate,
    day_7_count,
    day_7_of_count,
    1e0 * day_7_count / NULLIF(day_7_of_count, 0) AS day_7_rate,
    day_30_count,
    day_30_of_count,
    1e0 * day_30_count / NULLIF(day_30_of_count, 0) AS day_30_rate,
    CASE recipients_count
        WHEN day_30_of_count THEN 30
        WHEN day_7_of_count THEN 7
        WHEN day_3_of_count THEN 3
        WHEN day_1_of_count THEN 1
        ELSE 0
    END AS mature_day
FROM counts
ORDER BY certificate_id NULLS LAST, span_number NULLS LAST
