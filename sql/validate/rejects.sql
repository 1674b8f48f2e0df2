-- rejects: the records of a slice that could not be understood, for a reader who was told that there are too many.
--
-- Grain   one row per rejected record
-- Reads   rejects (the slice's Parquet)
SELECT
    file,
    line,
    reason
FROM rejects
