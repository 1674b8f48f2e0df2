-- registered_names: a row if the registry has an issuer, or a certificate, with the given id.
--
-- Grain   one row, or none if the registry has no such issuer or certificate
-- Reads   issuers, certificates
-- Params  kind VARCHAR, issuer or certificate; name VARCHAR, the id
SELECT 'issuer' AS kind
FROM issuers
WHERE issuer_id = :name AND :kind = 'issuer'
UNION ALL
SELECT 'certificate' AS kind
FROM certificates
WHERE certificate_id = :name AND :kind = 'certificate'
