-- scoped_events: the events of the recipients in scope, classified as the catalogue counts them.
--
-- Grain   one row per event and slice; an event that came in several slices has several rows
-- Reads   events, dated_identities, timed_clicks
-- Params  period_end TIMESTAMP, the first instant that does not count
--         credential_hosts VARCHAR, each host between bars as in |a.example|b.example|, or '' for any host
--         count_share_links BOOLEAN, whether a click on a share page is a share too; and those of timed_clicks
-- Counts  a bounce of a mail that the provider did not try to send is a rejection. If hosts are given, only the host
--         decides whether a click counts as a credential click. Otherwise, and for a click without url, every click does,
--         except on an opt-out link. A reason in the record wins over one from the time of the click. A share or an
--         addition to the profile is an event of the Recipient View page, or a click on a share link if those count;
--         such a click also stays a click. Only the channel of a share has a meaning
SELECT
    events.identity_key,
    events.occurred_at,
    events.is_machine OR (events.event_type = 'clicked' AND timed_clicks.machine_reason IS NOT NULL) AS is_machine,
    COALESCE(
        events.machine_reason, CASE WHEN events.event_type = 'clicked' THEN timed_clicks.machine_reason END
    ) AS machine_reason,
    CASE WHEN events.is_suppressed AND events.event_type = 'bounced' THEN 'rejected' ELSE events.event_type END AS event_type,
    events.event_type = 'clicked' AND CASE
        WHEN :credential_hosts = '' OR events.link_host IS NULL THEN NOT events.is_opt_out_link
        ELSE POSITION('|' || events.link_host || '|' IN :credential_hosts) > 0
    END AS is_credential_click,
    events.event_type = 'shared'
    OR (:count_share_links = TRUE AND COALESCE(events.link_channel <> 'linkedin_profile', FALSE)) AS is_share,
    events.event_type = 'added_to_profile'
    OR (:count_share_links = TRUE AND COALESCE(events.link_channel = 'linkedin_profile', FALSE)) AS is_profile,
    COALESCE(events.channel, events.link_channel) AS channel
FROM events
INNER JOIN dated_identities
    ON
        events.load_date = dated_identities.load_date
        AND events.source = dated_identities.source
        AND events.identity_key = dated_identities.identity_key
LEFT JOIN timed_clicks
    ON
        events.identity_key = timed_clicks.identity_key
        AND events.occurred_at = timed_clicks.occurred_at
WHERE events.occurred_at < :period_end
