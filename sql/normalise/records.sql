-- records: JSON documents, with arrays split into their elements.
--
-- Grain   one row per document that is no array, and per element of an array; an empty array has no row
-- Reads   documents
-- Counts  a document that does not parse is one record, which the format rejects. Each record has the key of its document, not the
--         text
SELECT
    file,
    line_key(document) AS document,
    REGEXP_MATCHES(document, '^\s*[{\[]') AS is_json,
    UNNEST(
        CASE
            WHEN STARTS_WITH(document, '{') THEN [document]  -- the usual case, which costs no trimming
            WHEN STARTS_WITH(LTRIM(document), '[')
                THEN COALESCE(CAST(TRY(JSON_TRANSFORM(document, '["JSON"]')) AS VARCHAR[]), [document])
            ELSE [document]
        END
    ) AS record
FROM documents
