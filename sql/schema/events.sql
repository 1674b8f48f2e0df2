-- events: the events of mails and of the Recipient View page, in few columns; the landed Parquet has all columns.
--
-- Grain   one row per slice and event_key; replaced with its slice
CREATE TABLE IF NOT EXISTS events (
    source VARCHAR NOT NULL,  -- the configured source; identifies the slice together with load_date
    load_date DATE NOT NULL,  -- the slice's UTC day
    event_key VARCHAR NOT NULL,  -- the same event has the same key in every slice
    identity_key VARCHAR NOT NULL,  -- the identity of the event; see identities
    event_type VARCHAR NOT NULL,  -- a word of the vocabulary
    occurred_at TIMESTAMP NOT NULL,  -- UTC
    is_machine BOOLEAN NOT NULL,  -- the record itself says that no person acted
    machine_reason VARCHAR,  -- the rule that recognised a machine
    channel VARCHAR,  -- of a share
    bounce_class VARCHAR,  -- hard, soft, block or undetermined; of bounced and deferred
    is_suppressed BOOLEAN NOT NULL,  -- the provider did not try to send
    link_host VARCHAR,  -- host of the unwrapped url, lower case; '' for a url without one; NULL without url
    link_key VARCHAR,  -- of a click: the same for the same unwrapped url, eight digits of its hash; NULL without url
    link_channel VARCHAR,  -- of a click on a share page: where it shares, or linkedin_profile; NULL for any other link
    is_opt_out_link BOOLEAN NOT NULL  -- path or query of the url mentions unsubscribing
)
