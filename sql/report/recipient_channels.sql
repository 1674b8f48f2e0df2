-- recipient_channels: the channels on which a recipient shared.
--
-- Grain   one row per recipient in scope and channel with at least one share
-- Reads   scoped_events, scoped_identities
-- Params  those of scoped_events
-- Counts  a person's shares, as channel_shares counts them
SELECT DISTINCT
    scoped_identities.recipient_id,
    scoped_events.channel
FROM scoped_events
INNER JOIN scoped_identities
    ON scoped_events.identity_key = scoped_identities.identity_key
WHERE
    scoped_events.is_share
    AND NOT scoped_events.is_machine
ORDER BY scoped_identities.recipient_id NULLS LAST, scoped_events.channel NULLS LAST
