-- certificate_statistics: the metric catalogue of each certificate from all loaded slices, for BI tools.
--
-- Grain   one row per certificate of the latest registry
CREATE TABLE IF NOT EXISTS certificate_statistics (
    certificate_id VARCHAR NOT NULL,  -- the platform's id
    issuer_id VARCHAR NOT NULL,  -- the issuer of the certificate
    name VARCHAR NOT NULL,  -- as reports print it
    kind VARCHAR NOT NULL,  -- certificate or badge
    created_at TIMESTAMP NOT NULL,  -- UTC
    recipients_count BIGINT NOT NULL,  -- in the registry; every count below is of distinct recipients among them
    claimed_count BIGINT NOT NULL,  -- verified themselves to see the credential
    claimed_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    shared_or_downloaded_count BIGINT NOT NULL,  -- shared or downloaded it
    shared_or_downloaded_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    added_to_linkedin_count BIGINT NOT NULL,  -- added it to their profile
    added_to_linkedin_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    sent_count BIGINT NOT NULL,  -- the access e-mail was sent, by an event or by the registry
    sent_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    delivered_count BIGINT NOT NULL,  -- latest outcome delivered, or no outcome but an open or click
    delivered_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    bounced_count BIGINT NOT NULL,  -- latest outcome bounced
    bounced_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    rejected_count BIGINT NOT NULL,  -- latest outcome rejected, including suppressed bounces
    rejected_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    opened_count BIGINT NOT NULL,  -- a person opened or clicked
    opened_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    machine_only_opened_count BIGINT NOT NULL,  -- a machine opened it, but no person
    machine_only_opened_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    clicked_count BIGINT NOT NULL,  -- a person clicked the credential link
    clicked_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    machine_only_clicked_count BIGINT NOT NULL,  -- a machine clicked the credential link, but no person
    machine_only_clicked_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    complained_count BIGINT NOT NULL,  -- reported the mail as spam
    complained_rate DOUBLE PRECISION,  -- of recipients_count; NULL without recipients
    unsubscribed_count BIGINT NOT NULL,  -- unsubscribed
    unsubscribed_rate DOUBLE PRECISION  -- of recipients_count; NULL without recipients
)
