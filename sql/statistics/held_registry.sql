-- held_registry: what the registry's tables were loaded from.
--
-- Grain   one row, or none before the first registry
-- Reads   registry_fingerprint
SELECT fingerprint
FROM registry_fingerprint
