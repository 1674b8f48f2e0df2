-- registered_names: whether the registry has an issuer or a certificate of that id.
--
-- Grain   one row per kind of thing that has the id; none where nothing has it
-- Reads   issuers, certificates
-- Params  kind VARCHAR, issuer or certificate; name VARCHAR, the id
SELECT 'issuer' AS kind
FROM issuers
WHERE issuer_id = :name AND :kind = 'issuer'
UNION ALL
SELECT 'certificate' AS kind
FROM certificates
WHERE certificate_id = :name AND :kind = 'certificate'
