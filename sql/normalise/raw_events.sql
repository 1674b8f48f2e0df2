-- raw_events: what a format's view may say of a record; what it leaves out is NULL.
--
-- Grain   one row per record, whatever became of it
-- Reads   format_events (the view of the slice's format, or pixel over it)
SELECT
    CAST(NULL AS VARCHAR) AS file,  -- where the record stands
    CAST(NULL AS VARCHAR) AS document,  -- the whole line or document that it is part of
    CAST(NULL AS VARCHAR) AS record,  -- the record's own text
    CAST(NULL AS BOOLEAN) AS is_readable,  -- it parses
    CAST(NULL AS BOOLEAN) AS is_ignored,  -- it is not ours to count, by name
    CAST(NULL AS VARCHAR) AS reject,  -- why the format cannot use it, though it parses
    CAST(NULL AS VARCHAR) AS event_type,  -- of the vocabulary; unknown for a name that is not listed; NULL without a name
    CAST(NULL AS TIMESTAMP) AS occurred_at,  -- UTC
    CAST(NULL AS VARCHAR) AS event_key,  -- the provider's id of the event; without one the hash of key_parts stands
    CAST(NULL AS VARCHAR) AS key_parts,  -- what makes the event the same event when it comes again
    CAST(NULL AS VARCHAR) AS email,  -- the recipient's address, perhaps with a name
    CAST(NULL AS VARCHAR) AS recipient_id,  -- where the record itself holds it; else it is sought in metadata
    CAST(NULL AS VARCHAR) AS certificate_id,  -- likewise
    CAST(NULL AS VARCHAR) AS message_id,  -- as the provider's send call returned it; brackets are trimmed
    CAST(NULL AS VARCHAR) AS channel,  -- of a share
    CAST(NULL AS VARCHAR) AS url,  -- what was clicked
    CAST(NULL AS VARCHAR) AS user_agent,  -- of an open, a click or a pixel request
    CAST(NULL AS BOOLEAN) AS is_flagged,  -- the provider says that a machine did it
    CAST(NULL AS BOOLEAN) AS is_probe,  -- the method says so (HEAD)
    CAST(NULL AS VARCHAR) AS bounce_class,  -- hard, soft, block or undetermined
    CAST(NULL AS VARCHAR) AS reject_reason,  -- invalid, bounced, timed_out, blocked, spam, unsubscribed or other
    CAST(NULL AS VARCHAR) AS smtp_code,  -- where a field holds it; else it is read from mta_response
    CAST(NULL AS VARCHAR) AS enhanced_code,  -- likewise
    CAST(NULL AS VARCHAR) AS mta_response,  -- the receiving server's words
    CAST(NULL AS BOOLEAN) AS is_suppressed,  -- the provider did not even try
    CAST(NULL AS VARCHAR) AS tags,  -- a word, or a JSON list as text
    CAST(NULL AS VARCHAR) AS metadata  -- the sender's own keys, a JSON object as text
WHERE FALSE
UNION ALL BY NAME
SELECT * FROM format_events
