-- observed_recipients: the recipients who were added since the logs of claims begin, so that it is known how fast they claimed.
--
-- Grain   one row per recipient in scope who was added to the registry at or after claim_logs_begin_at
-- Reads   recipient_states, scoped_recipients
-- Params  claim_logs_begin_at TIMESTAMP or NULL, the first instant that a log of claims is expected to cover; and those of
--         recipient_states
-- Counts  who was added before may have claimed where no log could see it
SELECT
    scoped_recipients.recipient_id,
    scoped_recipients.certificate_id,
    scoped_recipients.created_at,
    recipient_states.claimed_at,
    LEAST(recipient_states.shared_at, recipient_states.downloaded_at) AS shared_or_downloaded_at,
    recipient_states.added_to_profile_at
FROM scoped_recipients
INNER JOIN recipient_states
    ON scoped_recipients.recipient_id = recipient_states.recipient_id
WHERE scoped_recipients.created_at >= COALESCE(CAST(:claim_logs_begin_at AS TIMESTAMP), scoped_recipients.created_at)
