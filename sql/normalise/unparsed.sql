-- unparsed: the files in which a record does not parse.
--
-- Grain   one row per file
-- Reads   staged
SELECT DISTINCT file
FROM staged
WHERE reason = 'does not parse'
