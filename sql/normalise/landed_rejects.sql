-- landed_rejects: the rejects of a slice as the landing keeps them; their text stays in the raw files.
--
-- Grain   one row per rejected record
-- Reads   rejects
SELECT
    file,
    line,
    reason
FROM rejects
