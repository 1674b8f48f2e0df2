-- records: documents of JSON, arrays unwrapped.
--
-- Grain   one row per document that is no array, and per element of one that is; an empty array has none
-- Reads   documents
-- Counts  what does not parse stays one record, for the format to reject
SELECT
    file,
    document,
    UNNEST(
        CASE
            WHEN STARTS_WITH(document, '{') THEN [document]  -- most end here, untrimmed
            WHEN STARTS_WITH(LTRIM(document), '[')
                THEN COALESCE(CAST(TRY(JSON_TRANSFORM(document, '["JSON"]')) AS VARCHAR[]), [document])
            ELSE [document]
        END
    ) AS record
FROM documents
