-- certificate_news: how many recipients of a certificate bounced since the report sent before.
--
-- Grain   one row per certificate in scope with at least one such recipient
-- Reads   scoped_recipients, recipient_news
-- Params  those of recipient_news
SELECT
    scoped_recipients.certificate_id,
    COUNT(*) AS new_bounced_count
FROM scoped_recipients
INNER JOIN recipient_news
    ON scoped_recipients.recipient_id = recipient_news.recipient_id
WHERE recipient_news.new LIKE 'bounced%'
GROUP BY scoped_recipients.certificate_id
ORDER BY scoped_recipients.certificate_id NULLS LAST
