-- machine_reasons: the rules that recognised a machine behind an open or a click, with their number of recipients.
--
-- Grain   one row per certificate in scope, event type and rule with at least one recipient
-- Reads   recipient_states, scoped_events, scoped_identities
-- Params  those of recipient_states
-- Counts  the recipients of machine_only_opened_count and machine_only_clicked_count, each under one rule, that of the
--         earliest such event, so that the rules add up to these counts
WITH
earliest_reasons AS (
    SELECT
        recipient_states.certificate_id,
        recipient_states.recipient_id,
        scoped_events.event_type,
        MIN(scoped_events.machine_reason) AS machine_reason
    FROM recipient_states
    INNER JOIN scoped_identities
        ON recipient_states.recipient_id = scoped_identities.recipient_id
    INNER JOIN scoped_events
        ON scoped_identities.identity_key = scoped_events.identity_key
    WHERE
        scoped_events.is_machine
        AND (
            (
                scoped_events.event_type = 'opened'
                AND recipient_states.opened_at IS NULL
                AND recipient_states.machine_opened_at = scoped_events.occurred_at
            ) OR (
                scoped_events.is_credential_click
                AND recipient_states.clicked_at IS NULL
                AND recipient_states.machine_clicked_at = scoped_events.occurred_at
            )
        )
    GROUP BY recipient_states.certificate_id, recipient_states.recipient_id, scoped_events.event_type
)

SELECT
    certificate_id,
    event_type,
    machine_reason,
    COUNT(*) AS recipients_count
FROM earliest_reasons
GROUP BY certificate_id, event_type, machine_reason
ORDER BY
    certificate_id ASC NULLS LAST, event_type ASC NULLS LAST, recipients_count DESC NULLS LAST, machine_reason ASC NULLS LAST
