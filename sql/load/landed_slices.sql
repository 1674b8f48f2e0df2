-- landed_slices: the slices of the landed events, with the number of their events, to hold what is read against what was landed.
--
-- Grain   one row per slice with events
-- Reads   landed_events
SELECT
    source,
    load_date,
    COUNT(*) AS event_count
FROM landed_events
GROUP BY source, load_date
