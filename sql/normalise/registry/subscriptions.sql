-- subscriptions: the registry's subscriptions, each with the reason why it is left out, if any.
--
-- Grain   one row per row of subscriptions.csv
-- Reads   raw_subscriptions, issuers
-- Counts  reason is NULL for the rows that are kept; warning says why a kept row is listed. Of several rows with one id, the
--         first that breaks no other rule is kept.
WITH typed_subscriptions AS (
    SELECT
        line,
        unreadable,
        noticed,
        nullif_blank(subscription_id) AS subscription_id,
        nullif_blank(issuer_id) AS issuer_id,
        nullif_blank(email) AS email,
        LOWER(trimmed(frequency)) AS frequency,
        trimmed(timezone) AS timezone,
        COALESCE(nullif_blank(locale), 'en') AS locale,
        truth(COALESCE(paused, '')) AS is_paused,
        COALESCE(LOWER(nullif_blank(detail)), 'recipients') AS detail
    FROM raw_subscriptions
),

checked_subscriptions AS (
    SELECT
        typed_subscriptions.line,
        typed_subscriptions.subscription_id,
        issuers.issuer_id,
        typed_subscriptions.email,
        typed_subscriptions.frequency,
        typed_subscriptions.timezone,
        typed_subscriptions.locale,
        typed_subscriptions.is_paused,
        typed_subscriptions.detail,
        CASE
            WHEN typed_subscriptions.unreadable IS NOT NULL THEN typed_subscriptions.unreadable
            WHEN typed_subscriptions.subscription_id IS NULL THEN 'no subscription_id'
            WHEN NOT REGEXP_FULL_MATCH(typed_subscriptions.subscription_id, '[A-Za-z0-9_.@+-]{1,128}') OR typed_subscriptions.subscription_id IN ('.', '..')
                THEN 'subscription_id is no folder name'
            WHEN issuers.issuer_id IS NULL THEN 'unknown issuer'
            WHEN NOT is_address(typed_subscriptions.email) THEN bad_address('email')
            WHEN COALESCE(typed_subscriptions.frequency NOT IN ('daily', 'weekly', 'monthly'), TRUE)
                THEN 'frequency is none of daily, weekly, monthly'
            WHEN COALESCE(NOT LIST_CONTAINS(GETVARIABLE('timezones'), typed_subscriptions.timezone), TRUE) THEN 'unknown timezone'
            WHEN NOT REGEXP_FULL_MATCH(typed_subscriptions.locale, '[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*') THEN 'bad locale'
            WHEN typed_subscriptions.is_paused IS NULL THEN 'paused is neither true nor false'
            WHEN typed_subscriptions.detail NOT IN ('recipients', 'summary') THEN 'detail is neither recipients nor summary'
        END AS broken_rule,
        warnings(typed_subscriptions.noticed, smtputf8_warning(typed_subscriptions.email), NULL) AS warning
    FROM typed_subscriptions
    LEFT JOIN issuers
        ON typed_subscriptions.issuer_id = issuers.issuer_id AND issuers.reason IS NULL
)

SELECT
    * EXCLUDE (broken_rule),
    subscription_id AS id,
    registry_reason(broken_rule, line, subscription_id, 'subscription_id') AS reason
FROM checked_subscriptions
