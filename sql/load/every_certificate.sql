-- every_certificate: whose figures other rules may move.
--
-- Grain   one row per certificate
-- Reads   certificates
SELECT certificate_id
FROM certificates
