-- touched_certificates: the certificates whose figures one slice may move.
--
-- Grain   one row per certificate
-- Reads   identities, recipients
-- Params  source VARCHAR, load_date DATE: the slice
-- Counts  whoever an identity of the slice could match by any rule: marking one too many costs a little time
WITH
slice_identities AS (
    SELECT
        recipient_id,
        certificate_id,
        message_id,
        address_hash
    FROM identities
    WHERE
        source = :source
        AND load_date = :load_date
)

SELECT recipients.certificate_id
FROM slice_identities
INNER JOIN recipients
    ON slice_identities.recipient_id = recipients.recipient_id
UNION
SELECT recipients.certificate_id
FROM slice_identities
INNER JOIN recipients
    ON slice_identities.message_id = recipients.message_id
UNION
SELECT recipients.certificate_id
FROM slice_identities
INNER JOIN recipients
    ON
        slice_identities.certificate_id = recipients.certificate_id
        AND slice_identities.address_hash = recipients.address_hash
