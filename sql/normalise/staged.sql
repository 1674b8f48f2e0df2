-- staged: every record with its outcome; a Parquet file that lasts for one run.
--
-- Grain   one row per record
-- Reads   classified
-- Counts  the text of a record is kept only where it was rejected, and only the part that is shown. may_hold_documents is where a
--         record does not parse, or is an array in an array, and may hold a document or the end of one: every document ends with
--         a brace, and every array with a bracket. Valid JSON that the format cannot read is no reason to read a file again
SELECT
    * EXCLUDE (document, record),
    CASE WHEN outcome = 'reject' THEN line_key(document) END AS document,
    CASE WHEN outcome = 'reject' THEN COALESCE(LEFT(record, 4096), 'null') END AS record,
    outcome = 'reject' AND REGEXP_MATCHES(record, '[]}]')
    AND (NOT JSON_VALID(record) OR (reason = 'does not parse' AND STARTS_WITH(LTRIM(record), '['))) AS may_hold_documents
FROM classified
