-- certificates: the certificates and badges that are issued to recipients.
--
-- Grain   one row per certificate or badge of the latest registry
CREATE TABLE IF NOT EXISTS certificates (
    certificate_id VARCHAR NOT NULL,  -- the platform's id
    issuer_id VARCHAR NOT NULL,  -- the issuer of the certificate
    name VARCHAR NOT NULL,  -- as reports print it
    kind VARCHAR NOT NULL,  -- certificate or badge
    created_at TIMESTAMP NOT NULL  -- UTC
)
