-- documents: the lines that hold data.
--
-- Grain   one row per line that is neither blank nor a comment
-- Reads   lines
SELECT
    file,
    document
FROM lines
WHERE STARTS_WITH(document, '{') OR REGEXP_MATCHES(document, '^\s*[^\s#]')
