-- issuers: the registry's issuers, each with the reason why it is left out, if any.
--
-- Grain   one row per row of issuers.csv
-- Reads   raw_issuers
-- Counts  reason is NULL for the rows that are kept. Of several rows with one id, the first that breaks no other rule is kept.
--         An unusable colour or logo becomes NULL and its issuer is kept.
WITH checked_issuers AS (
    SELECT
        line,
        nullif_blank(issuer_id) AS issuer_id,
        nullif_blank(name) AS name,
        CASE WHEN REGEXP_FULL_MATCH(TRIM(logo), 'data:image/(png|svg\+xml)[;,].*', 's') THEN TRIM(logo) END AS logo,
        CASE WHEN REGEXP_FULL_MATCH(TRIM(color), '#[0-9A-Fa-f]{6}') THEN LOWER(TRIM(color)) END AS color,
        CASE
            WHEN is_malformed THEN 'not the columns of the header'
            WHEN nullif_blank(raw_issuers.issuer_id) IS NULL THEN 'no issuer_id'
            WHEN nullif_blank(raw_issuers.name) IS NULL THEN 'no name'
        END AS broken_rule
    FROM raw_issuers
)

SELECT
    * EXCLUDE (broken_rule),
    issuer_id AS id,
    registry_reason(broken_rule, line, issuer_id, 'issuer_id') AS reason
FROM checked_issuers
