-- rejects: the records of a slice that could not be understood. The error about too many of them shows this query.
--
-- Grain   one row per rejected record
-- Reads   rejects (the slice's Parquet)
SELECT
    file,
    line,
    reason
FROM rejects
