-- recipient_todos: the one thing that an issuer can do for a recipient.
--
-- Grain   one row per recipient in scope with something to do
-- Reads   recipient_outcomes, recipient_states, scoped_recipients, latest_bounces, mistyped_domains
-- Params  remind_before_at TIMESTAMP, who was issued or mailed later is not reminded yet; and those of recipient_outcomes
-- Counts  who complained, unsubscribed or was rejected is in none. A bounce is worked on until the credential is claimed:
--         a misspelt domain is a typo whatever the class says. Reminders go to those whose mail was delivered
WITH
facts AS (
    SELECT
        scoped_recipients.recipient_id,
        scoped_recipients.certificate_id,
        recipient_outcomes.outcome,
        latest_bounces.bounce_class,
        recipient_states.opened_at,
        recipient_states.claimed_at,
        COALESCE(
            recipient_states.shared_at, recipient_states.downloaded_at, recipient_states.added_to_profile_at
        ) AS used_at,
        scoped_recipients.created_at < :remind_before_at
        AND recipient_states.sent_at < :remind_before_at AS is_old_enough,
        SUBSTRING(scoped_recipients.email FROM 1 FOR POSITION('@' IN scoped_recipients.email))
        || mistyped_domains.meant_domain AS did_you_mean
    FROM scoped_recipients
    INNER JOIN recipient_outcomes
        ON scoped_recipients.recipient_id = recipient_outcomes.recipient_id
    INNER JOIN recipient_states
        ON scoped_recipients.recipient_id = recipient_states.recipient_id
    LEFT JOIN latest_bounces
        ON scoped_recipients.recipient_id = latest_bounces.recipient_id
    LEFT JOIN mistyped_domains
        ON LOWER(SPLIT_PART(scoped_recipients.email, '@', 2)) = mistyped_domains.mistyped_domain
    WHERE
        recipient_states.complained_at IS NULL
        AND recipient_states.unsubscribed_at IS NULL
),

chosen AS (
    SELECT
        recipient_id,
        certificate_id,
        CASE WHEN outcome = 'bounced' THEN did_you_mean END AS did_you_mean,
        CASE
            WHEN outcome = 'bounced' AND claimed_at IS NOT NULL THEN NULL
            WHEN outcome = 'bounced' AND did_you_mean IS NOT NULL THEN 'correct_typo'
            WHEN outcome = 'bounced' AND bounce_class = 'hard' THEN 'correct_address'
            WHEN outcome = 'bounced' AND bounce_class = 'block' THEN 'ask_for_release'
            WHEN outcome = 'bounced' THEN 'try_again'
            WHEN outcome <> 'delivered' OR NOT is_old_enough THEN NULL
            WHEN claimed_at IS NULL AND opened_at IS NULL THEN 'remind_to_open'
            WHEN claimed_at IS NULL THEN 'remind_to_claim'
            WHEN used_at IS NULL THEN 'remind_to_share'
        END AS todo
    FROM facts
)

SELECT
    recipient_id,
    certificate_id,
    todo,
    did_you_mean
FROM chosen
WHERE todo IS NOT NULL
