-- received_records: what the logs of some days brought, and what became of their records.
--
-- Grain   one row
-- Reads   slices
-- Params  first_date DATE, last_date DATE, the UTC days
-- Counts  raw_count is the sum of the other counts
SELECT
    CAST(COALESCE(SUM(raw_count), 0) AS BIGINT) AS raw_count,
    CAST(COALESCE(SUM(event_count), 0) AS BIGINT) AS event_count,
    CAST(COALESCE(SUM(duplicate_count), 0) AS BIGINT) AS duplicate_count,
    CAST(COALESCE(SUM(reject_count), 0) AS BIGINT) AS reject_count,
    CAST(COALESCE(SUM(ignored_count), 0) AS BIGINT) AS ignored_count
FROM slices
WHERE load_date BETWEEN :first_date AND :last_date
