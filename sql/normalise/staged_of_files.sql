-- staged_of_files: the staged records of the files that are bound, where files of several slices were staged at once.
--
-- Grain   one row per record
-- Reads   staged_records (the Parquet file of all of them)
SELECT *
FROM staged_records
WHERE LIST_CONTAINS(CAST(GETVARIABLE('files') AS VARCHAR[]), file)
