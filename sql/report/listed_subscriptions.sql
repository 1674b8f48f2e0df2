-- listed_subscriptions: the subscriptions to reports.
--
-- Grain   one row per subscription of the latest registry
-- Reads   subscriptions
SELECT
    subscription_id,
    issuer_id,
    email,
    frequency,
    timezone,
    locale,
    is_paused,
    detail
FROM subscriptions
ORDER BY subscription_id NULLS LAST
