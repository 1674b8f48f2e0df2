-- privacy: the fingerprint of the key that hashes the addresses of this warehouse.
--
-- Grain   one row
-- Params  key_fingerprint VARCHAR
SELECT CAST(:key_fingerprint AS VARCHAR) AS key_fingerprint
