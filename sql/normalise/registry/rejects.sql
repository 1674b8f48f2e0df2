-- rejects: the registry's rows that break a rule and are left out.
--
-- Grain   one row per such row
-- Reads   issuers, certificates, recipients, subscriptions (the views of this folder)
-- Counts  lines are counted in rows of data, from 2: a name may hold a line break
SELECT 'issuers' AS registry_table, line + 1 AS line, id, reason
FROM issuers
WHERE reason IS NOT NULL
UNION ALL
SELECT 'certificates' AS registry_table, line + 1 AS line, id, reason
FROM certificates
WHERE reason IS NOT NULL
UNION ALL
SELECT 'recipients' AS registry_table, line + 1 AS line, id, reason
FROM recipients
WHERE reason IS NOT NULL
UNION ALL
SELECT 'subscriptions' AS registry_table, line + 1 AS line, id, reason
FROM subscriptions
WHERE reason IS NOT NULL
ORDER BY registry_table, line
