-- certificate_statistics: the metric catalogue of each certificate from all that is loaded, for BI tools.
--
-- Grain   one row per certificate of the latest registry
CREATE TABLE IF NOT EXISTS certificate_statistics (
    certificate_id VARCHAR NOT NULL,  -- the catalogue's columns from here on; product.md defines them
    issuer_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
)
