-- held_key: the fingerprint of the key with which this warehouse was made.
--
-- Grain   one row, or none in a new warehouse
-- Reads   privacy
SELECT key_fingerprint
FROM privacy
