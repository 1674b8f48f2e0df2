-- slices: the state of one slice, as the loading stage gives it.
--
-- Grain   one row
-- Params  one per column; last_error, loaded_at and version may be NULL
SELECT
    CAST(:source AS VARCHAR) AS source,
    CAST(:load_date AS DATE) AS load_date,
    CAST(:status AS VARCHAR) AS status,
    CAST(:last_error AS VARCHAR) AS last_error,
    CAST(:raw_count AS BIGINT) AS raw_count,
    CAST(:event_count AS BIGINT) AS event_count,
    CAST(:reject_count AS BIGINT) AS reject_count,
    CAST(:ignored_count AS BIGINT) AS ignored_count,
    CAST(:duplicate_count AS BIGINT) AS duplicate_count,
    CAST(:loaded_at AS TIMESTAMP) AS loaded_at,
    CAST(:version AS VARCHAR) AS version
