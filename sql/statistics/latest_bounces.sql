-- latest_bounces: the class and the reason of a recipient's latest bounce.
--
-- Grain   one row per recipient in scope with a bounce, even if the provider suppressed the mail
-- Reads   failures, scoped_identities
-- Params  period_end TIMESTAMP, the first instant that does not count; and those of scoped_identities
-- Counts  at equal times a real bounce wins over a suppressed one; a bounce stays even if the mail was delivered later
WITH
ranked_bounces AS (
    SELECT
        scoped_identities.recipient_id,
        failures.bounce_class,
        COALESCE(failures.mta_response, failures.reject_reason) AS bounce_reason,
        ROW_NUMBER() OVER (
            PARTITION BY scoped_identities.recipient_id
            ORDER BY
                failures.occurred_at DESC NULLS LAST,
                CASE WHEN failures.is_suppressed THEN 1 ELSE 0 END ASC NULLS LAST,
                failures.event_key ASC NULLS LAST,
                failures.load_date ASC NULLS LAST,
                failures.source ASC NULLS LAST
        ) AS bounce_rank
    FROM failures
    INNER JOIN scoped_identities
        ON failures.identity_key = scoped_identities.identity_key
    WHERE
        failures.event_type = 'bounced'
        AND failures.occurred_at < :period_end
)

SELECT
    recipient_id,
    bounce_class,
    bounce_reason
FROM ranked_bounces
WHERE bounce_rank = 1
