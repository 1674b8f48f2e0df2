-- people: the people behind the credentials, and those of them who claimed one.
--
-- Grain   one row
-- Reads   scoped_recipients, recipient_states
-- Params  those of recipient_states
-- Counts  a person is a distinct address in lower case, however many credentials went to it
SELECT
    COUNT(DISTINCT scoped_recipients.address_hash) AS people_count,
    COUNT(DISTINCT CASE WHEN recipient_states.claimed_at IS NOT NULL THEN scoped_recipients.address_hash END) AS claimed_people_count
FROM scoped_recipients
INNER JOIN recipient_states
    ON scoped_recipients.recipient_id = recipient_states.recipient_id
