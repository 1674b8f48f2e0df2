-- recipient_states: the outcome of a recipient's e-mail, and the times of the events of e-mail and credential.
--
-- Grain   one row per recipient in scope
-- Reads   scoped_events, scoped_identities, scoped_recipients
-- Params  those of scoped_events
-- Counts  a column is the time of a person's first such event, unless its name says otherwise; NULL means never
WITH
-- Events are many and identities are few, so events are grouped by identity before the join.
identity_states AS (
    SELECT
        identity_key,
        MIN(occurred_at) FILTER (WHERE event_type IN (
            'queued', 'sent', 'delivered', 'deferred', 'bounced', 'opened', 'clicked', 'complained', 'unsubscribed'
        )) AS sent_at,
        MIN(occurred_at) FILTER (WHERE event_type = 'deferred') AS deferred_at,
        MAX(occurred_at) FILTER (WHERE event_type = 'delivered') AS last_delivered_at,
        MAX(occurred_at) FILTER (WHERE event_type = 'bounced') AS last_bounced_at,
        MAX(occurred_at) FILTER (WHERE event_type = 'rejected') AS last_rejected_at,
        MIN(occurred_at) FILTER (WHERE event_type IN ('opened', 'clicked')) AS reached_at,
        MIN(occurred_at) FILTER (WHERE event_type IN ('opened', 'clicked') AND NOT is_machine) AS opened_at,
        MIN(occurred_at) FILTER (WHERE event_type = 'opened' AND is_machine) AS machine_opened_at,
        MIN(occurred_at) FILTER (WHERE is_credential_click AND NOT is_machine) AS clicked_at,
        MIN(occurred_at) FILTER (WHERE is_credential_click AND is_machine) AS machine_clicked_at,
        MIN(occurred_at) FILTER (WHERE event_type = 'complained') AS complained_at,
        MIN(occurred_at) FILTER (WHERE event_type = 'unsubscribed') AS unsubscribed_at,
        MIN(occurred_at) FILTER (WHERE event_type = 'claimed' AND NOT is_machine) AS claimed_at,
        MIN(occurred_at) FILTER (WHERE event_type = 'downloaded' AND NOT is_machine) AS downloaded_at,
        MIN(occurred_at) FILTER (WHERE is_share AND NOT is_machine) AS shared_at,
        MIN(occurred_at) FILTER (WHERE is_profile AND NOT is_machine) AS added_to_profile_at,
        MAX(occurred_at) AS last_event_at
    FROM scoped_events
    GROUP BY identity_key
),

recipient_times AS (
    SELECT
        scoped_recipients.recipient_id,
        scoped_recipients.certificate_id,
        LEAST(MIN(identity_states.sent_at), MIN(scoped_recipients.access_email_sent_at)) AS sent_at,
        MIN(identity_states.deferred_at) AS deferred_at,
        MAX(identity_states.last_delivered_at) AS last_delivered_at,
        MAX(identity_states.last_bounced_at) AS last_bounced_at,
        MAX(identity_states.last_rejected_at) AS last_rejected_at,
        MIN(identity_states.reached_at) AS reached_at,
        MIN(identity_states.opened_at) AS opened_at,
        MIN(identity_states.machine_opened_at) AS machine_opened_at,
        MIN(identity_states.clicked_at) AS clicked_at,
        MIN(identity_states.machine_clicked_at) AS machine_clicked_at,
        MIN(identity_states.complained_at) AS complained_at,
        MIN(identity_states.unsubscribed_at) AS unsubscribed_at,
        MIN(identity_states.claimed_at) AS claimed_at,
        MIN(identity_states.downloaded_at) AS downloaded_at,
        MIN(identity_states.shared_at) AS shared_at,
        MIN(identity_states.added_to_profile_at) AS added_to_profile_at,
        MAX(identity_states.last_event_at) AS last_event_at
    FROM scoped_recipients
    LEFT JOIN scoped_identities
        ON scoped_recipients.recipient_id = scoped_identities.recipient_id
    LEFT JOIN identity_states
        ON scoped_identities.identity_key = identity_states.identity_key
    GROUP BY scoped_recipients.recipient_id, scoped_recipients.certificate_id
)

-- The latest outcome wins; at equal times bounced wins over rejected, and rejected over delivered.
SELECT
    recipient_id,
    certificate_id,
    sent_at,
    deferred_at,
    last_delivered_at,
    last_bounced_at,
    opened_at,
    machine_opened_at,
    clicked_at,
    machine_clicked_at,
    complained_at,
    unsubscribed_at,
    claimed_at,
    downloaded_at,
    shared_at,
    added_to_profile_at,
    last_event_at,
    CASE
        WHEN
            last_bounced_at >= COALESCE(last_rejected_at, last_bounced_at)
            AND last_bounced_at >= COALESCE(last_delivered_at, last_bounced_at) THEN 'bounced'
        WHEN last_rejected_at >= COALESCE(last_delivered_at, last_rejected_at) THEN 'rejected'
        WHEN COALESCE(last_delivered_at, reached_at) IS NOT NULL THEN 'delivered'
    END AS outcome
FROM recipient_times
