-- raw_events: the columns that a format's view may have; those that it leaves out are NULL.
--
-- Grain   one row per record, whatever its outcome
-- Reads   format_events (the view of the slice's format, or pixel over it)
SELECT
    CAST(NULL AS VARCHAR) AS file,  -- which holds the record
    CAST(NULL AS VARCHAR) AS document,  -- the line or document that holds the record, or its key
    CAST(NULL AS VARCHAR) AS record,  -- the text of the record itself
    CAST(NULL AS BOOLEAN) AS is_readable,  -- whether the record parses
    CAST(NULL AS BOOLEAN) AS is_ignored,  -- whether the format names the record as one that is not counted
    CAST(NULL AS VARCHAR) AS reject,  -- why the format cannot use a record that parses
    CAST(NULL AS VARCHAR) AS event_type,  -- from the vocabulary; unknown for an unlisted name; NULL without a name
    CAST(NULL AS TIMESTAMP) AS occurred_at,  -- UTC
    CAST(NULL AS VARCHAR) AS event_key,  -- the provider's id of the event; where NULL, the key is the hash of key_parts
    CAST(NULL AS VARCHAR) AS key_parts,  -- what identifies the event when it comes again
    CAST(NULL AS VARCHAR) AS email,  -- the recipient's address, perhaps with a name
    CAST(NULL AS VARCHAR) AS recipient_id,  -- if the record has one; else it is looked up in metadata
    CAST(NULL AS VARCHAR) AS certificate_id,  -- likewise
    CAST(NULL AS VARCHAR) AS message_id,  -- as returned by the provider's send call; angle brackets are removed later
    CAST(NULL AS VARCHAR) AS channel,  -- where a share was made, such as linkedin
    CAST(NULL AS VARCHAR) AS url,  -- the link that was clicked
    CAST(NULL AS VARCHAR) AS user_agent,  -- for opens, clicks and pixel requests
    CAST(NULL AS BOOLEAN) AS is_flagged,  -- whether the provider says that a machine caused the event
    CAST(NULL AS BOOLEAN) AS is_probe,  -- whether the request's method is a machine's (HEAD)
    CAST(NULL AS VARCHAR) AS bounce_class,  -- hard, soft, block or undetermined
    CAST(NULL AS VARCHAR) AS reject_reason,  -- invalid, bounced, timed_out, blocked, spam, unsubscribed or other
    CAST(NULL AS VARCHAR) AS smtp_code,  -- if the record has a field for it; else it is read from mta_response
    CAST(NULL AS VARCHAR) AS enhanced_code,  -- likewise
    CAST(NULL AS VARCHAR) AS mta_response,  -- the receiving server's reply
    CAST(NULL AS BOOLEAN) AS is_suppressed,  -- whether the provider did not try to send
    CAST(NULL AS VARCHAR) AS tags,  -- a single tag, or the text of a JSON list
    CAST(NULL AS VARCHAR) AS metadata  -- the sender's own keys: the text of a JSON object
WHERE FALSE
UNION ALL BY NAME
SELECT * FROM format_events
