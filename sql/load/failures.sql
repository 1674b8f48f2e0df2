-- failures: the mails of landed slices that did not reach their recipients or were not wanted, with the reason.
--
-- Grain   one row per event_key of type bounced, rejected, deferred or complained
-- Reads   landed_events
SELECT
    source,
    load_date,
    event_key,
    identity_key,
    event_type,
    occurred_at,
    is_suppressed,
    bounce_class,
    reject_reason,
    smtp_code,
    enhanced_code,
    mta_response
FROM landed_events
WHERE event_type IN ('bounced', 'rejected', 'deferred', 'complained')
ORDER BY source NULLS LAST, load_date NULLS LAST, identity_key NULLS LAST, event_key NULLS LAST
