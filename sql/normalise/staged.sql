-- staged: every record with its verdict; a file for this run alone.
--
-- Grain   one row per record
-- Reads   classified
-- Counts  a record's own text is kept only where it was rejected
SELECT
    * EXCLUDE (document, record),
    CASE WHEN outcome = 'reject' THEN document END AS document,
    CASE WHEN outcome = 'reject' THEN COALESCE(record, 'null') END AS record
FROM classified
