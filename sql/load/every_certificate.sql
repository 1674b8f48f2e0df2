-- every_certificate: all certificates that are not stale yet, because a change may concern the figures of each.
--
-- Grain   one row per certificate
-- Reads   certificates, stale_certificates
SELECT certificate_id
FROM certificates
EXCEPT
SELECT certificate_id
FROM stale_certificates
