-- timed_clicks: the instants at which a click came too soon, or together with too many others, for a person.
--
-- Grain   one row per identity_key and occurred_at of at least one such click; none while both rules are off
-- Reads   identity_events
-- Params  period_end TIMESTAMP, the first instant that does not count
--         click_after_delivery_seconds INTEGER, or 0 for off
--         links_at_once INTEGER, how many different links are too many, or 0 for off
--         links_at_once_seconds INTEGER; and those of identity_events
-- Counts  both limits are included. If both rules apply, the reason is timing. Some providers report whole seconds, so a
--         click in the second of the delivery counts as after it. An earlier click is classified only by its record. A click
--         without url does not count as a link, but it is included if it lies among too many links
WITH
clicks AS (
    SELECT DISTINCT
        identity_key,
        occurred_at,
        link_key
    FROM identity_events
    WHERE
        (:click_after_delivery_seconds > 0 OR :links_at_once > 0)
        AND event_type = 'clicked'
        AND occurred_at < :period_end
),

deliveries AS (
    SELECT DISTINCT
        identity_key,
        occurred_at
    FROM identity_events
    WHERE
        :click_after_delivery_seconds > 0
        AND event_type = 'delivered'
        AND occurred_at < :period_end
        AND identity_key IN (SELECT clicks.identity_key FROM clicks)
),

-- Few identities clicked so many links, so only their clicks are compared with one another.
many_link_identities AS (
    SELECT identity_key
    FROM clicks
    WHERE :links_at_once > 0
    GROUP BY identity_key
    HAVING COUNT(DISTINCT link_key) >= :links_at_once
),

-- Only windows that begin at a click are tried: any other window can begin at its first click without losing one.
bursts AS (
    SELECT
        first_clicks.identity_key,
        first_clicks.occurred_at AS first_at
    FROM many_link_identities
    INNER JOIN clicks AS first_clicks
        ON many_link_identities.identity_key = first_clicks.identity_key
    INNER JOIN clicks AS near_clicks
        ON
            first_clicks.identity_key = near_clicks.identity_key
            AND first_clicks.occurred_at <= near_clicks.occurred_at
            AND first_clicks.occurred_at + :links_at_once_seconds * INTERVAL '1' SECOND >= near_clicks.occurred_at
    GROUP BY first_clicks.identity_key, first_clicks.occurred_at
    HAVING COUNT(DISTINCT near_clicks.link_key) >= :links_at_once
),

machine_clicks AS (
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
FROM machine_clicks
GROUP BY identity_key, occurred_at
