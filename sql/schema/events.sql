-- events: what happened to mails and on the Recipient View page, narrow; the wide record stays in the landed Parquet.
--
-- Grain   one row per slice and event_key; replaced with its slice
CREATE TABLE IF NOT EXISTS events (
    source VARCHAR NOT NULL,  -- the configured source; with load_date the slice
    load_date DATE NOT NULL,  -- the slice's UTC day
    event_key VARCHAR NOT NULL,  -- the same event has the same key in every slice
    identity_key VARCHAR NOT NULL,  -- what the event knows of its recipient; see identities
    event_type VARCHAR NOT NULL,  -- of the vocabulary
    occurred_at TIMESTAMP NOT NULL,  -- UTC
    is_machine BOOLEAN NOT NULL,  -- the record itself says that no person acted
    machine_reason VARCHAR,  -- the rule that said so
    channel VARCHAR,  -- of a share
    bounce_class VARCHAR,  -- hard, soft, block or undetermined; of bounced and deferred
    is_suppressed BOOLEAN NOT NULL,  -- the provider did not even try
    link_host VARCHAR,  -- host of the unwrapped url, lower case; '' for a url without one; NULL without url
    link_key VARCHAR,  -- of a click: the same for the same unwrapped url, eight digits of its hash; NULL without url
    link_channel VARCHAR,  -- of a click on a share page: where it shares, or linkedin_profile; NULL for any other link
    is_opt_out_link BOOLEAN NOT NULL  -- path or query of the url speaks of unsubscribing
)
