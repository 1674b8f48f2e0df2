-- rejects: the registry's rows that are left out, because they break a rule, and the kept rows of which something is unusual.
--
-- Grain   one row per such row, and one for each file whose encoding is assumed
-- Reads   issuers, certificates, recipients, subscriptions (the tables of this folder)
-- Counts  line is where the row begins in its file; the header is on line 1. Of a row that breaks a rule nothing else is listed.
WITH read_rows AS (
    SELECT 'issuers' AS registry_table, line, id, reason, warning
    FROM issuers
    UNION ALL
    SELECT 'certificates' AS registry_table, line, id, reason, warning
    FROM certificates
    UNION ALL
    SELECT 'recipients' AS registry_table, line, id, reason, warning
    FROM recipients
    UNION ALL
    SELECT 'subscriptions' AS registry_table, line, id, reason, warning
    FROM subscriptions
    UNION ALL
    SELECT
        UNNEST(GETVARIABLE('assumed_encodings')) AS registry_table,
        1 AS line,
        NULL AS id,
        NULL AS reason,
        'the file is not UTF-8, and was read as Windows-1252; save it as CSV UTF-8' AS warning
)

SELECT
    registry_table,
    line,
    id,
    COALESCE(reason, warning) AS reason,
    reason IS NULL AS is_kept
FROM read_rows
WHERE reason IS NOT NULL OR warning IS NOT NULL
ORDER BY registry_table, line
