-- trend: the credentials that were issued, claimed, and shared or downloaded in each of the last weeks or days.
--
-- Grain   one row per span that ends after the logs of claims begin
-- Reads   spans, recipient_states, scoped_recipients
-- Params  claim_logs_begin_at TIMESTAMP or NULL, the first instant that a log of claims is expected to cover; and those of
--         spans and of recipient_states
-- Counts  a recipient in the span of the first such event, so that each counts once; is_cut says that the logs begin within
--         the span
WITH
moments AS (
    SELECT
        scoped_recipients.created_at AS issued_at,
        recipient_states.claimed_at,
        LEAST(recipient_states.shared_at, recipient_states.downloaded_at) AS shared_or_downloaded_at
    FROM scoped_recipients
    INNER JOIN recipient_states
        ON scoped_recipients.recipient_id = recipient_states.recipient_id
),

steps AS (
    SELECT
        'issued' AS step,
        issued_at AS happened_at
    FROM moments
    UNION ALL
    SELECT
        'claimed' AS step,
        claimed_at AS happened_at
    FROM moments
    UNION ALL
    SELECT
        'shared_or_downloaded' AS step,
        shared_or_downloaded_at AS happened_at
    FROM moments
)

SELECT
    spans.span_number,
    COUNT(*) FILTER (WHERE steps.step = 'issued') AS issued_count,
    COUNT(*) FILTER (WHERE steps.step = 'claimed') AS claimed_count,
    COUNT(*) FILTER (WHERE steps.step = 'shared_or_downloaded') AS shared_or_downloaded_count,
    spans.start_at < COALESCE(CAST(:claim_logs_begin_at AS TIMESTAMP), spans.start_at) AS is_cut
FROM spans
LEFT JOIN steps
    ON
        spans.start_at <= steps.happened_at
        AND spans.end_at > steps.happened_at
WHERE spans.end_at > COALESCE(CAST(:claim_logs_begin_at AS TIMESTAMP), spans.start_at)
GROUP BY spans.span_number, spans.start_at
ORDER BY spans.span_number NULLS LAST
