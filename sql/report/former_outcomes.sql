-- former_outcomes: the outcome of a recipient's e-mail when the report before was sent.
--
-- Grain   one row per recipient in scope with an outcome before since_at
-- Reads   scoped_events, scoped_identities
-- Params  since_at TIMESTAMP or NULL, the end of the report sent before; and those of scoped_events
-- Counts  by the rule of recipient_states: the latest outcome wins; at equal times bounced wins over rejected, and rejected
--         over delivered; an open or a click proves the delivery where there is none of them
WITH
-- Events are many and identities are few, so events are grouped by identity before the join.
identity_outcomes AS (
    SELECT
        identity_key,
        MAX(occurred_at) FILTER (WHERE event_type = 'delivered') AS last_delivered_at,
        MAX(occurred_at) FILTER (WHERE event_type = 'bounced') AS last_bounced_at,
        MAX(occurred_at) FILTER (WHERE event_type = 'rejected') AS last_rejected_at,
        MIN(occurred_at) FILTER (WHERE event_type IN ('opened', 'clicked')) AS reached_at
    FROM scoped_events
    WHERE occurred_at < CAST(:since_at AS TIMESTAMP)
    GROUP BY identity_key
),

recipient_times AS (
    SELECT
        scoped_identities.recipient_id,
        MAX(identity_outcomes.last_delivered_at) AS last_delivered_at,
        MAX(identity_outcomes.last_bounced_at) AS last_bounced_at,
        MAX(identity_outcomes.last_rejected_at) AS last_rejected_at,
        MIN(identity_outcomes.reached_at) AS reached_at
    FROM scoped_identities
    INNER JOIN identity_outcomes
        ON scoped_identities.identity_key = identity_outcomes.identity_key
    GROUP BY scoped_identities.recipient_id
)

SELECT
    recipient_id,
    CASE
        WHEN
            last_bounced_at >= COALESCE(last_rejected_at, last_bounced_at)
            AND last_bounced_at >= COALESCE(last_delivered_at, last_bounced_at) THEN 'bounced'
        WHEN last_rejected_at >= COALESCE(last_delivered_at, last_rejected_at) THEN 'rejected'
        ELSE 'delivered'
    END AS outcome
FROM recipient_times
WHERE COALESCE(last_delivered_at, last_bounced_at, last_rejected_at, reached_at) IS NOT NULL
