-- stale_certificates: the certificates whose stored figures must be computed again.
--
-- Grain   one or more rows per certificate that a load touched; written in the load's transaction, emptied by the refresh
CREATE TABLE IF NOT EXISTS stale_certificates (
    certificate_id VARCHAR NOT NULL  -- may be a certificate that left the registry
)
