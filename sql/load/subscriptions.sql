-- subscriptions: the subscriptions to reports in the landed registry.
--
-- Grain   one row per subscription
-- Reads   landed_subscriptions
SELECT
    subscription_id,
    issuer_id,
    email,
    frequency,
    timezone,
    locale,
    is_paused,
    detail
FROM landed_subscriptions
ORDER BY subscription_id NULLS LAST
