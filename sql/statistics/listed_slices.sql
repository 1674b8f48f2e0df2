-- listed_slices: the state of a source and day in the warehouse, with the number of events without a recipient.
--
-- Grain   one row per source and UTC day that was ever tried
-- Reads   slices, identities, identity_recipients
-- Params  those of scoped_recipients, all open
-- Counts  the unattributed events of the slice itself, by the latest registry
WITH
unattributed AS (
    SELECT
        identities.source,
        identities.load_date,
        CAST(SUM(identities.event_count) AS BIGINT) AS event_count
    FROM identities
    LEFT JOIN identity_recipients
        ON identities.identity_key = identity_recipients.identity_key
    WHERE identity_recipients.recipient_id IS NULL
    GROUP BY identities.source, identities.load_date
)

SELECT
    slices.source,
    slices.load_date,
    slices.status,
    slices.last_error,
    slices.raw_count,
    slices.event_count,
    slices.reject_count,
    slices.ignored_count,
    slices.duplicate_count,
    COALESCE(unattributed.event_count, 0) AS unattributed_count,
    slices.loaded_at
FROM slices
LEFT JOIN unattributed
    ON
        slices.source = unattributed.source
        AND slices.load_date = unattributed.load_date
ORDER BY slices.load_date NULLS LAST, slices.source NULLS LAST
