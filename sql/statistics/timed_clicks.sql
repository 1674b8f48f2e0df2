-- timed_clicks: the moments at which a click came too soon, or with too many others, for a person.
--
-- Grain   one row per identity_key and occurred_at of at least one such click; none while both rules are off
-- Reads   events, scoped_identities
-- Params  period_end TIMESTAMP, the first instant that does not count
--         click_after_delivery_seconds INTEGER, or 0 for off
--         links_at_once INTEGER, how many different links are too many, or 0 for off
--         links_at_once_seconds INTEGER; and those of scoped_identities
-- Counts  both limits are included. Of both rules timing is the reason. A click in the very second of the delivery is after
--         it, since some providers tell whole seconds; one before is classified by its record alone. A click without url is no
--         link of its own, but falls with the links around it
WITH
clicks AS (
    SELECT DISTINCT
        identity_key,
        occurred_at,
        link_key
    FROM events
    WHERE
        (:click_after_delivery_seconds > 0 OR :links_at_once > 0)
        AND event_type = 'clicked'
        AND occurred_at < :period_end
        AND identity_key IN (SELECT scoped_identities.identity_key FROM scoped_identities)
),

deliveries AS (
    SELECT DISTINCT
        identity_key,
        occurred_at
    FROM events
    WHERE
        :click_after_delivery_seconds > 0
        AND event_type = 'delivered'
        AND occurred_at < :period_end
        AND identity_key IN (SELECT clicks.identity_key FROM clicks)
),

-- Few have so many links: only theirs are held against one another.
scanned_identities AS (
    SELECT identity_key
    FROM clicks
    WHERE :links_at_once > 0
    GROUP BY identity_key
    HAVING COUNT(DISTINCT link_key) >= :links_at_once
),

-- A window with too many links still holds them when it begins at its first click.
bursts AS (
    SELECT
        first_clicks.identity_key,
        first_clicks.occurred_at AS first_at
    FROM scanned_identities
    INNER JOIN clicks AS first_clicks
        ON scanned_identities.identity_key = first_clicks.identity_key
    INNER JOIN clicks AS near_clicks
        ON
            first_clicks.identity_key = near_clicks.identity_key
            AND first_clicks.occurred_at <= near_clicks.occurred_at
            AND first_clicks.occurred_at + :links_at_once_seconds * INTERVAL '1' SECOND >= near_clicks.occurred_at
    GROUP BY first_clicks.identity_key, first_clicks.occurred_at
    HAVING COUNT(DISTINCT near_clicks.link_key) >= :links_at_once
),

suspicions AS (
    SELECT
        clicks.identity_key,
        clicks.occurred_at,
        'timing' AS machine_reason
    FROM clicks
    INNER JOIN deliveries
        ON
            clicks.identity_key = deliveries.identity_key
            AND clicks.occurred_at >= DATE_TRUNC('second', deliveries.occurred_at)
            AND clicks.occurred_at <= deliveries.occurred_at + :click_after_delivery_seconds * INTERVAL '1' SECOND
    UNION ALL
    SELECT
        clicks.identity_key,
        clicks.occurred_at,
        'all_links' AS machine_reason
    FROM clicks
    INNER JOIN bursts
        ON
            clicks.identity_key = bursts.identity_key
            AND clicks.occurred_at >= bursts.first_at
            AND clicks.occurred_at <= bursts.first_at + :links_at_once_seconds * INTERVAL '1' SECOND
)

SELECT
    identity_key,
    occurred_at,
    MAX(machine_reason) AS machine_reason
FROM suspicions
GROUP BY identity_key, occurred_at
