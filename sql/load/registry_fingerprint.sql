-- registry_fingerprint: what the registry's tables are loaded from now on.
--
-- Grain   one row
-- Params  fingerprint VARCHAR
SELECT CAST(:fingerprint AS VARCHAR) AS fingerprint
