-- rate_intervals: the 95 % interval of Wilson around the three rates that head a certificate's page.
--
-- Grain   one row per certificate with recipients, and measure: claimed, shared_or_downloaded, added_to_linkedin
-- Reads   certificate_figures
-- Params  those of certificate_figures
-- Counts  1.96 is the normal distribution's 97.5 % point, 1.959963984540054; its square is 3.841458820694124. At none and at
--         all of the recipients a bound is exactly 0 and 1. Source: E. B. Wilson, JASA 22 (1927), pages 209 to 212
WITH
measures AS (
    SELECT
        certificate_id,
        'claimed' AS measure,
        claimed_count AS counted,
        recipients_count AS of_count
    FROM certificate_figures
    UNION ALL
    SELECT
        certificate_id,
        'shared_or_downloaded' AS measure,
        shared_or_downloaded_count AS counted,
        recipients_count AS of_count
    FROM certificate_figures
    UNION ALL
    SELECT
        certificate_id,
        'added_to_linkedin' AS measure,
        added_to_linkedin_count AS counted,
        recipients_count AS of_count
    FROM certificate_figures
),

solved AS (
    SELECT
        certificate_id,
        measure,
        counted,
        of_count,
        2e0 * counted + 3.841458820694124e0 AS middle,
        1.959963984540054e0 * SQRT(3.841458820694124e0 + 4e0 * counted * (of_count - counted) / of_count) AS reach,
        2e0 * (of_count + 3.841458820694124e0) AS divisor
    FROM measures
    WHERE of_count > 0
)

SELECT
    certificate_id,
    measure,
    CASE WHEN counted = 0 THEN 0e0 ELSE (middle - reach) / divisor END AS low_rate,
    CASE WHEN counted = of_count THEN 1e0 ELSE (middle + reach) / divisor END AS high_rate
FROM solved
ORDER BY certificate_id NULLS LAST, measure NULLS LAST
