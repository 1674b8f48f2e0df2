-- rejects: the registry's rows that are left out, because they break a rule.
--
-- Grain   one row per such row
-- Reads   issuers, certificates, recipients, subscriptions (the tables of this folder)
-- Counts  line is where the row begins in its file; the header is on line 1
SELECT 'issuers' AS registry_table, line, id, reason
FROM issuers
WHERE reason IS NOT NULL
UNION ALL
SELECT 'certificates' AS registry_table, line, id, reason
FROM certificates
WHERE reason IS NOT NULL
UNION ALL
SELECT 'recipients' AS registry_table, line, id, reason
FROM recipients
WHERE reason IS NOT NULL
UNION ALL
SELECT 'subscriptions' AS registry_table, line, id, reason
FROM subscriptions
WHERE reason IS NOT NULL
ORDER BY registry_table, line
