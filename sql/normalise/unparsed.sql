-- unparsed: the files in which a line does not parse, or holds arrays in an array, and may hold a document or the end of one.
--
-- Grain   one row per file
-- Reads   staged
-- Counts  every document ends with a brace, and every array with a bracket. A line of valid JSON that the format cannot read
--         is no reason to read its file again
SELECT DISTINCT file
FROM staged
WHERE
    reason = 'does not parse'
    AND REGEXP_MATCHES(document, '[]}]')
    AND (NOT JSON_VALID(document) OR STARTS_WITH(LTRIM(record), '['))
