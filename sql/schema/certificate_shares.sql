-- certificate_shares: the social media shares of each certificate from all loaded slices, for BI tools.
--
-- Grain   one row per certificate and channel with at least one share
CREATE TABLE IF NOT EXISTS certificate_shares (
    certificate_id VARCHAR NOT NULL,  -- the platform's id
    channel VARCHAR NOT NULL,  -- linkedin, facebook, x, ...
    recipients_count BIGINT NOT NULL  -- distinct recipients who shared there
)
