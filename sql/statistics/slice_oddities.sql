-- slice_oddities: the unusual counts of a loaded slice, which deserve a look but do not keep it out.
--
-- Grain   one row per oddity of the slice: another_day, duplicates, unattributed, volume; none if all is as usual
-- Reads   slices, events, identities, identity_recipients, recipients
-- Params  source VARCHAR, load_date DATE, the slice; duplicate_rate_maximum, unattributed_rate_maximum, volume_factor DOUBLE;
--         and those of identity_recipients
-- Counts  found_count is compared with compared_count. For another_day these are the events of other UTC days and all
--         events, if it is over half; found_date is the day of the most. For duplicates these are the duplicates and the
--         raw records. For unattributed these are the events without a recipient and all events, if the registry has any
--         recipient. For volume these are the raw records and their rounded average over the source's loaded slices of
--         the 14 days before, if there are at least 3
WITH
asked_slice AS (
    SELECT
        raw_count,
        event_count,
        duplicate_count
    FROM slices
    WHERE
        source = :source
        AND load_date = :load_date
        AND status <> 'failed'
),

former_average AS (
    SELECT AVG(raw_count) AS average_count
    FROM slices
    WHERE
        source = :source
        AND load_date < :load_date
        AND load_date >= CAST(:load_date AS DATE) - 14
        AND status = 'loaded'
    HAVING COUNT(*) >= 3
),

events_by_date AS (
    SELECT
        CAST(occurred_at AS DATE) AS occurred_date,
        COUNT(*) AS event_count
    FROM events
    WHERE
        source = :source
        AND load_date = :load_date
    GROUP BY CAST(occurred_at AS DATE)
),

another_day AS (
    SELECT
        CAST(SUM(CASE WHEN occurred_date = :load_date THEN 0 ELSE event_count END) AS BIGINT) AS found_count,
        CAST(SUM(event_count) AS BIGINT) AS compared_count
    FROM events_by_date
),

most_frequent_date AS (
    SELECT occurred_date
    FROM events_by_date
    WHERE occurred_date <> :load_date
    ORDER BY
        event_count DESC,
        occurred_date ASC
    LIMIT 1
),

unattributed AS (
    SELECT CAST(SUM(identities.event_count) AS BIGINT) AS event_count
    FROM identities
    LEFT JOIN identity_recipients
        ON identities.identity_key = identity_recipients.identity_key
    WHERE
        identities.source = :source
        AND identities.load_date = :load_date
        AND identity_recipients.recipient_id IS NULL
        AND EXISTS (SELECT 1 FROM recipients)
)

SELECT
    'another_day' AS oddity,
    another_day.found_count,
    another_day.compared_count,
    most_frequent_date.occurred_date AS found_date
FROM another_day
CROSS JOIN most_frequent_date
WHERE 2 * another_day.found_count > another_day.compared_count
UNION ALL
SELECT
    'duplicates' AS oddity,
    duplicate_count AS found_count,
    raw_count AS compared_count,
    CAST(NULL AS DATE) AS found_date
FROM asked_slice
WHERE duplicate_count > :duplicate_rate_maximum * raw_count
UNION ALL
SELECT
    'unattributed' AS oddity,
    unattributed.event_count AS found_count,
    asked_slice.event_count AS compared_count,
    CAST(NULL AS DATE) AS found_date
FROM asked_slice
CROSS JOIN unattributed
WHERE unattributed.event_count > :unattributed_rate_maximum * asked_slice.event_count
UNION ALL
SELECT
    'volume' AS oddity,
    asked_slice.raw_count AS found_count,
    CAST(ROUND(former_average.average_count, 0) AS BIGINT) AS compared_count,
    CAST(NULL AS DATE) AS found_date
FROM asked_slice
CROSS JOIN former_average
WHERE
    asked_slice.raw_count * :volume_factor < former_average.average_count
    OR asked_slice.raw_count > former_average.average_count * :volume_factor
ORDER BY oddity
