-- staged: every record with its outcome; a Parquet file that lasts for one run.
--
-- Grain   one row per record
-- Reads   classified
-- Counts  the text of a record is kept only where it was rejected
SELECT
    * EXCLUDE (document, record),
    CASE WHEN outcome = 'reject' THEN document END AS document,
    CASE WHEN outcome = 'reject' THEN COALESCE(record, 'null') END AS record
FROM classified
