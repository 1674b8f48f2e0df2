-- issuers: the organisations that issue certificates and badges.
--
-- Grain   one row per issuer of the latest registry
CREATE TABLE IF NOT EXISTS issuers (
    issuer_id VARCHAR NOT NULL,  -- the platform's id
    name VARCHAR NOT NULL,  -- as reports print it
    logo VARCHAR,  -- a PNG or SVG as data URL, or NULL
    color VARCHAR  -- #rrggbb, or NULL for the default blue
)
