-- issuers: the registry's issuers, judged.
--
-- Grain   one row per row of issuers.csv
-- Counts  reason is NULL for the rows that hold; of an id that stands twice the first row counts. A colour or logo that
--         cannot be used is left out, its issuer is not
SELECT
    line,
    told(issuer_id) AS issuer_id,
    told(name) AS name,
    CASE WHEN REGEXP_FULL_MATCH(TRIM(logo), 'data:image/(png|svg\+xml)[;,].*', 's') THEN TRIM(logo) END AS logo,
    CASE WHEN REGEXP_FULL_MATCH(TRIM(color), '#[0-9A-Fa-f]{6}') THEN LOWER(TRIM(color)) END AS color,
    told(issuer_id) AS id,
    CASE
        WHEN is_malformed THEN 'not the columns of the header'
        WHEN told(issuer_id) IS NULL THEN 'no issuer_id'
        WHEN told(name) IS NULL THEN 'no name'
        WHEN line > MIN(line) OVER (PARTITION BY told(issuer_id)) THEN 'duplicate issuer_id'
    END AS reason
FROM raw_issuers
