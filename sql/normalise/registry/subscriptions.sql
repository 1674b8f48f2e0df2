-- subscriptions: the registry's subscriptions, each with the reason why it is left out, if any.
--
-- Grain   one row per row of subscriptions.csv
-- Reads   raw_subscriptions, issuers
-- Counts  reason is NULL for the rows that are kept. Of several rows with one id, the first that breaks no other rule is kept.
WITH checked_subscriptions AS (
    SELECT
        raw_subscriptions.line,
        nullif_blank(raw_subscriptions.subscription_id) AS subscription_id,
        issuers.issuer_id,
        TRIM(raw_subscriptions.email) AS email,
        LOWER(TRIM(raw_subscriptions.frequency)) AS frequency,
        TRIM(raw_subscriptions.timezone) AS timezone,
        COALESCE(nullif_blank(raw_subscriptions.locale), 'en') AS locale,
        COALESCE(LOWER(TRIM(raw_subscriptions.paused)) = 'true', FALSE) AS is_paused,
        CASE
            WHEN raw_subscriptions.is_malformed THEN 'not the columns of the header'
            WHEN nullif_blank(raw_subscriptions.subscription_id) IS NULL THEN 'no subscription_id'
            WHEN NOT REGEXP_FULL_MATCH(nullif_blank(raw_subscriptions.subscription_id), '[A-Za-z0-9_.@+-]{1,128}') OR nullif_blank(raw_subscriptions.subscription_id) IN ('.', '..')
                THEN 'subscription_id is no folder name'
            WHEN issuers.issuer_id IS NULL THEN 'unknown issuer'
            WHEN COALESCE(NOT REGEXP_FULL_MATCH(TRIM(raw_subscriptions.email), '[^@\s<>]+@[^@\s<>]+'), TRUE) THEN 'bad email'
            WHEN COALESCE(LOWER(TRIM(raw_subscriptions.frequency)) NOT IN ('daily', 'weekly', 'monthly'), TRUE)
                THEN 'frequency is none of daily, weekly, monthly'
            WHEN COALESCE(NOT LIST_CONTAINS(GETVARIABLE('timezones'), TRIM(raw_subscriptions.timezone)), TRUE) THEN 'unknown timezone'
            WHEN NOT REGEXP_FULL_MATCH(COALESCE(nullif_blank(raw_subscriptions.locale), 'en'), '[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*') THEN 'bad locale'
            WHEN COALESCE(LOWER(TRIM(raw_subscriptions.paused)) NOT IN ('true', 'false', ''), FALSE) THEN 'paused is neither true nor false'
        END AS broken_rule
    FROM raw_subscriptions
    LEFT JOIN issuers
        ON nullif_blank(raw_subscriptions.issuer_id) = issuers.issuer_id AND issuers.reason IS NULL
)

SELECT
    * EXCLUDE (broken_rule),
    subscription_id AS id,
    registry_reason(broken_rule, line, subscription_id, 'subscription_id') AS reason
FROM checked_subscriptions
