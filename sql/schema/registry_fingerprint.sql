-- registry_fingerprint: what the registry's tables were loaded from.
--
-- Grain   one row, or none before the first registry
CREATE TABLE IF NOT EXISTS registry_fingerprint (
    fingerprint VARCHAR NOT NULL  -- the landed version's: of its files, the key, the forgotten ids and the rules; then a hash of the queries
)
