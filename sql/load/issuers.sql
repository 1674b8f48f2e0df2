-- issuers: the organisations of the landed registry.
--
-- Grain   one row per issuer
-- Reads   landed_issuers
SELECT
    issuer_id,
    name,
    logo,
    color
FROM landed_issuers
ORDER BY issuer_id NULLS LAST
