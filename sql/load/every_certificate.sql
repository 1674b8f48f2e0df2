-- every_certificate: all certificates, because a change of rules may change the figures of each.
--
-- Grain   one row per certificate
-- Reads   certificates
SELECT certificate_id
FROM certificates
