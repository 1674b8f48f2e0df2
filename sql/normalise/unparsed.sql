-- unparsed: the files in which a line that does not parse may hold documents.
--
-- Grain   one row per file
-- Reads   staged
SELECT DISTINCT file
FROM staged
WHERE may_hold_documents
