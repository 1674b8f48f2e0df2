-- privacy: the fingerprint of the key that hashed the addresses of this warehouse.
--
-- Grain   one row
CREATE TABLE IF NOT EXISTS privacy (
    key_fingerprint VARCHAR NOT NULL  -- of the key, never the key itself
)
