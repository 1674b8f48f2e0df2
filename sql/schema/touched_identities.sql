-- touched_identities: the identities whose recipient a new registry may change; emptied in the transaction that fills it.
--
-- Grain   one or more rows per identity_key
CREATE TABLE IF NOT EXISTS touched_identities (
    identity_key VARCHAR NOT NULL  -- as in identities
)
