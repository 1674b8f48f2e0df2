-- channel_shares: the number of recipients who shared a certificate on a channel.
--
-- Grain   one row per certificate in scope and channel with at least one share
-- Reads   scoped_events, scoped_identities
-- Params  those of scoped_events
-- Counts  only a person's shares, by a button of the Recipient View page or, where share links count, by such a link in the
--         mail; a file that was posted by hand leaves no event
SELECT
    scoped_identities.certificate_id,
    scoped_events.channel,
    COUNT(DISTINCT scoped_identities.recipient_id) AS recipients_count
FROM scoped_events
INNER JOIN scoped_identities
    ON scoped_events.identity_key = scoped_identities.identity_key
WHERE
    scoped_events.is_share
    AND NOT scoped_events.is_machine
GROUP BY scoped_identities.certificate_id, scoped_events.channel
ORDER BY
    scoped_identities.certificate_id ASC NULLS LAST, recipients_count DESC NULLS LAST, scoped_events.channel ASC NULLS LAST
