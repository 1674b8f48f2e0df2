-- issuers: the registry's issuers, each with the reason why it is left out, if any.
--
-- Grain   one row per row of issuers.csv
-- Reads   raw_issuers
-- Counts  reason is NULL for the rows that are kept; warning says why a kept row is listed. Of several rows with one id, the
--         first that breaks no other rule is kept. An unusable colour or logo becomes NULL and its issuer is kept.
WITH typed_issuers AS (
    SELECT
        line,
        unreadable,
        noticed,
        nullif_blank(issuer_id) AS issuer_id,
        nullif_blank(name) AS name,
        nullif_blank(logo) AS given_logo,
        nullif_blank(color) AS given_color,
        CASE WHEN REGEXP_FULL_MATCH(given_logo, 'data:image/(png|svg\+xml)[;,].*', 's') THEN given_logo END AS logo,
        CASE WHEN REGEXP_FULL_MATCH(given_color, '#[0-9A-Fa-f]{6}') THEN LOWER(given_color) END AS color
    FROM raw_issuers
),

checked_issuers AS (
    SELECT
        line,
        issuer_id,
        name,
        logo,
        color,
        CASE
            WHEN unreadable IS NOT NULL THEN unreadable
            WHEN issuer_id IS NULL THEN 'no issuer_id'
            WHEN name IS NULL THEN 'no name'
        END AS broken_rule,
        warnings(
            noticed,
            CASE WHEN given_logo IS NOT NULL AND logo IS NULL THEN 'logo is no PNG or SVG as a data URL, and is left out' END,
            CASE WHEN given_color IS NOT NULL AND color IS NULL THEN 'color is no #rrggbb, and is left out' END
        ) AS warning
    FROM typed_issuers
)

SELECT
    * EXCLUDE (broken_rule),
    issuer_id AS id,
    registry_reason(broken_rule, line, issuer_id, 'issuer_id') AS reason
FROM checked_issuers
