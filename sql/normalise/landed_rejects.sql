-- landed_rejects: the rejects of a slice in the columns of the landing.
--
-- Grain   one row per rejected record
-- Reads   rejects
-- Counts  the text of a reject is not landed again: it is in the raw files
SELECT
    file,
    line,
    reason
FROM rejects
