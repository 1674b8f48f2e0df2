-- issuer: the organisation that a report is about.
--
-- Grain   one row
-- Reads   issuers
-- Params  issuer_id VARCHAR
SELECT
    issuer_id,
    name,
    logo,
    color
FROM issuers
WHERE issuer_id = :issuer_id
