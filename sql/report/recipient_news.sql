-- recipient_news: what happened to a recipient since the report sent before, and whether its thing to do is new.
--
-- Grain   one row per recipient in scope
-- Reads   scoped_recipients, recipient_states, recipient_todos, former_outcomes
-- Params  since_at TIMESTAMP or NULL, the end of the report sent before; remind_before_since_at TIMESTAMP or NULL, who was
--         issued or mailed later was not reminded in it; and those of recipient_todos
-- Counts  new names the first of each action since then. bounced is new where the outcome is bounced now and was not then,
--         so a second bounce of a dead address is not. Whoever was added since then is new with everything. A thing to do is
--         new where the same list did not have the recipient then; the cures of a bounce are one list
WITH
-- Whoever was added since is in no earlier report, whatever is known of earlier days.
horizons AS (
    SELECT
        recipient_id,
        created_at < :remind_before_since_at AS was_old_enough,
        CASE
            WHEN created_at >= CAST(:since_at AS TIMESTAMP) THEN TIMESTAMP '1970-01-01 00:00:00'
            ELSE CAST(:since_at AS TIMESTAMP)
        END AS new_from
    FROM scoped_recipients
),

marks AS (
    SELECT
        horizons.recipient_id,
        horizons.new_from,
        recipient_states.opened_at,
        recipient_states.clicked_at,
        recipient_states.claimed_at,
        recipient_states.downloaded_at,
        recipient_states.shared_at,
        recipient_states.added_to_profile_at,
        recipient_todos.todo,
        recipient_states.outcome = 'bounced' AS is_bounced,
        former_outcomes.outcome = 'bounced' AND horizons.new_from = CAST(:since_at AS TIMESTAMP) AS was_bounced,
        former_outcomes.outcome = 'delivered'
        AND horizons.was_old_enough
        AND recipient_states.sent_at < :remind_before_since_at AS was_reminded
    FROM horizons
    INNER JOIN recipient_states
        ON horizons.recipient_id = recipient_states.recipient_id
    LEFT JOIN recipient_todos
        ON horizons.recipient_id = recipient_todos.recipient_id
    LEFT JOIN former_outcomes
        ON horizons.recipient_id = former_outcomes.recipient_id
)

SELECT
    recipient_id,
    CONCAT_WS(
        ' ',
        CASE WHEN is_bounced AND new_from IS NOT NULL AND NOT COALESCE(was_bounced, FALSE) THEN 'bounced' END,
        CASE WHEN opened_at >= new_from THEN 'opened' END,
        CASE WHEN clicked_at >= new_from THEN 'clicked' END,
        CASE WHEN claimed_at >= new_from THEN 'claimed' END,
        CASE WHEN downloaded_at >= new_from THEN 'downloaded' END,
        CASE WHEN shared_at >= new_from THEN 'shared' END,
        CASE WHEN added_to_profile_at >= new_from THEN 'added' END
    ) AS new,
    CASE
        WHEN todo IS NULL OR new_from IS NULL THEN FALSE
        WHEN todo = 'remind_to_open' THEN NOT COALESCE(was_reminded, FALSE)
        WHEN todo = 'remind_to_claim' THEN NOT COALESCE(was_reminded AND opened_at < new_from, FALSE)
        WHEN todo = 'remind_to_share' THEN NOT COALESCE(was_reminded AND claimed_at < new_from, FALSE)
        ELSE NOT COALESCE(was_bounced, FALSE)
    END AS is_new_todo
FROM marks
