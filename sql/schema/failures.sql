-- failures: the mails that did not reach their recipient or were not wanted, with the reason.
--
-- Grain   one row per slice and event_key of type bounced, rejected, deferred or complained; replaced with its slice
CREATE TABLE IF NOT EXISTS failures (
    source VARCHAR NOT NULL,  -- the slice
    load_date DATE NOT NULL,  -- the slice
    event_key VARCHAR NOT NULL,  -- as in events
    identity_key VARCHAR NOT NULL,  -- as in events
    event_type VARCHAR NOT NULL,  -- bounced, rejected, deferred or complained
    occurred_at TIMESTAMP NOT NULL,  -- UTC
    is_suppressed BOOLEAN NOT NULL,  -- the provider did not try to send
    bounce_class VARCHAR,  -- hard, soft, block or undetermined
    reject_reason VARCHAR,  -- invalid, bounced, timed_out, blocked, spam, unsubscribed or other
    smtp_code VARCHAR,  -- 550
    enhanced_code VARCHAR,  -- 5.1.1
    mta_response VARCHAR  -- the receiving server's reply, without addresses
)
