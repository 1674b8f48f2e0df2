-- held_slices: the state of a source and day in the warehouse, as the last load recorded it.
--
-- Grain   one row per source and UTC day that was ever tried
-- Reads   slices
-- Params  source VARCHAR or NULL for all, load_date DATE or NULL for all
SELECT
    source,
    load_date,
    status,
    last_error,
    raw_count,
    event_count,
    reject_count,
    ignored_count,
    duplicate_count,
    loaded_at,
    version
FROM slices
WHERE
    (:source IS NULL OR source = :source)
    AND (:load_date IS NULL OR load_date = :load_date)
ORDER BY load_date NULLS LAST, source NULLS LAST
