-- scoped_events: the events of the recipients in scope, classified as the catalogue counts them.
--
-- Grain   one row per event and slice; an event that came in several slices has several rows
-- Reads   identity_events, timed_clicks
-- Params  period_end TIMESTAMP, the first instant that does not count
--         credential_hosts VARCHAR, each host between bars as in |a.example|b.example|, or '' for any host
--         count_share_links BOOLEAN, whether a click on a share page is a share too; and those of timed_clicks
-- Counts  a bounce of a mail that the provider did not try to send is a rejection. If hosts are given, only the host
--         decides whether a click counts as a credential click. Otherwise, and for a click without url, every click does,
--         except on an opt-out link. A reason in the record wins over one from the time of the click. A share or an
--         addition to the profile is an event of the Recipient View page, or a click on a share link if those count;
--         such a click also stays a click. Only the channel of a share has a meaning
SELECT
    identity_events.identity_key,
    identity_events.occurred_at,
    identity_events.is_machine OR (identity_events.event_type = 'clicked' AND timed_clicks.machine_reason IS NOT NULL) AS is_machine,
    COALESCE(
        identity_events.machine_reason, CASE WHEN identity_events.event_type = 'clicked' THEN timed_clicks.machine_reason END
    ) AS machine_reason,
    CASE WHEN identity_events.is_suppressed AND identity_events.event_type = 'bounced' THEN 'rejected' ELSE identity_events.event_type END AS event_type,
    identity_events.event_type = 'clicked' AND CASE
        WHEN :credential_hosts = '' OR identity_events.link_host IS NULL THEN NOT identity_events.is_opt_out_link
        ELSE POSITION('|' || identity_events.link_host || '|' IN :credential_hosts) > 0
    END AS is_credential_click,
    identity_events.event_type = 'shared'
    OR (:count_share_links = TRUE AND COALESCE(identity_events.link_channel <> 'linkedin_profile', FALSE)) AS is_share,
    identity_events.event_type = 'added_to_profile'
    OR (:count_share_links = TRUE AND COALESCE(identity_events.link_channel = 'linkedin_profile', FALSE)) AS is_profile,
    COALESCE(identity_events.channel, identity_events.link_channel) AS channel
FROM identity_events
LEFT JOIN timed_clicks
    ON
        identity_events.identity_key = timed_clicks.identity_key
        AND identity_events.occurred_at = timed_clicks.occurred_at
WHERE identity_events.occurred_at < :period_end
