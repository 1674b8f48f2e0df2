-- identities: the distinct identities of events. They are matched to the registry when figures are computed.
--
-- Grain   one row per slice and identity_key; replaced with its slice
CREATE TABLE IF NOT EXISTS identities (
    source VARCHAR NOT NULL,  -- the slice
    load_date DATE NOT NULL,  -- the slice
    identity_key VARCHAR NOT NULL,  -- hash of the four columns that follow
    recipient_id VARCHAR,  -- from the event's metadata or the pixel
    certificate_id VARCHAR,  -- from the event's metadata or the pixel
    message_id VARCHAR,  -- of the mail
    address_hash VARCHAR,  -- keyed hash of the address in lower case
    event_count BIGINT NOT NULL  -- events of the slice with this identity
)
