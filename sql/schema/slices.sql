-- slices: the state of each source and day in the warehouse, and the last error.
--
-- Grain   one row per source and UTC day that was ever tried
CREATE TABLE IF NOT EXISTS slices (
    source VARCHAR NOT NULL,  -- the configured source
    load_date DATE NOT NULL,  -- the UTC day
    status VARCHAR NOT NULL,  -- loaded, empty (by permission), failed (nothing is loaded)
    last_error VARCHAR,  -- why the last try failed; NULL after a success
    raw_count BIGINT NOT NULL,  -- records after unwrapping; the sum of the next four
    event_count BIGINT NOT NULL,  -- rows in events
    reject_count BIGINT NOT NULL,  -- not understood; listed in the landing
    ignored_count BIGINT NOT NULL,  -- of kinds that the format ignores by name
    duplicate_count BIGINT NOT NULL,  -- repeats of an event_key within the slice
    loaded_at TIMESTAMP,  -- UTC; when the slice was loaded last
    version VARCHAR  -- the landed version that is loaded: where its events lie in the slice's folder; NULL without events
)
