-- subscriptions: the subscriptions to reports.
--
-- Grain   one row per subscription of the latest registry
CREATE TABLE IF NOT EXISTS subscriptions (
    subscription_id VARCHAR NOT NULL,  -- the platform's id
    issuer_id VARCHAR NOT NULL,  -- the issuer whose certificates the report shows
    email VARCHAR NOT NULL,  -- where the report goes
    frequency VARCHAR NOT NULL,  -- daily, weekly or monthly
    timezone VARCHAR NOT NULL,  -- IANA name
    locale VARCHAR NOT NULL,  -- BCP 47
    is_paused BOOLEAN NOT NULL,  -- true: no report is due
    detail VARCHAR NOT NULL  -- recipients, or summary: no recipient's address in mail, PDF or attachment
)
