-- classified: every record of a slice in the vocabulary that all formats share, with its outcome.
--
-- Grain   one row per record
-- Reads   raw_events
-- Counts  outcome is event, reject (reason says why) or ignored. Records that repeat an event_key are still events here; repeats
--         finds them. Where several rules recognise a machine, the reason is the first of provider_flag, method, proxy_ua,
--         scanner_ua, crawler_ua. Free text is redacted. Only email holds an address, and email is not landed. Of the metadata
--         a slice keeps the keys that its source names in metadata_keys, after the two of the ids. A class that
--         the row's codes contradict is corrected. A deferred mail is soft, because it is tried again: there a code 5.1.x,
--         which says that it never will be, is left out.
WITH trimmed_records AS (
    SELECT
        *,
        address(email) AS mail_address,
        nullif_blank(user_agent) AS agent,
        nullif_blank(url) AS link
    FROM raw_events
),

parsed_records AS (
    SELECT
        *,
        -- the values of recipient_key and certificate_key, then of metadata_keys
        CASE WHEN metadata != '{}' THEN JSON_EXTRACT_STRING(metadata, GETVARIABLE('metadata_pointers')) END AS named_values,
        machine_agent(agent, event_type) AS agent_rule,
        unwrapped(link) AS unwrapped_link,
        reply(mta_response) AS reply_text,
        address_hash(mail_address, GETVARIABLE('hash_key')) AS known_address_hash
    FROM trimmed_records
),

identified_records AS (
    SELECT
        *,
        COALESCE(nullif_blank(recipient_id), nullif_blank(named_values[1])) AS known_recipient_id,
        COALESCE(nullif_blank(certificate_id), nullif_blank(named_values[2])) AS known_certificate_id,
        bare_id(message_id) AS known_message_id,
        CASE
            WHEN event_type NOT IN ('opened', 'clicked') AND NOT GETVARIABLE('is_pixel') THEN NULL
            WHEN is_flagged THEN 'provider_flag'
            WHEN is_probe THEN 'method'
            ELSE agent_rule
        END AS machine_rule
    FROM parsed_records
),

checked_records AS (
    SELECT
        *,
        CASE
            WHEN NOT is_readable THEN 'does not parse'
            WHEN is_ignored THEN NULL
            WHEN reject IS NOT NULL THEN reject
            WHEN event_type IS NULL THEN COALESCE(missing('event', record), 'no event type')
            WHEN occurred_at IS NULL OR occurred_at < TIMESTAMP '2010-01-01' OR occurred_at >= time_limit(file) THEN 'no usable time'
            WHEN
                event_type != 'unknown' AND NOT GETVARIABLE('is_pixel')
                AND COALESCE(known_recipient_id, known_message_id, mail_address) IS NULL
                THEN 'neither recipient id, message id nor address'
        END AS reason
    FROM identified_records
),

coded_records AS (
    SELECT
        *,
        smtp_code(smtp_code, reply_text) AS printed_smtp_code,
        CASE
            WHEN event_type = 'deferred' AND STARTS_WITH(enhanced_code(enhanced_code, reply_text), '5.1.') THEN NULL
            ELSE enhanced_code(enhanced_code, reply_text)
        END AS printed_enhanced_code
    FROM checked_records
)

SELECT
    CASE WHEN reason IS NOT NULL THEN 'reject' WHEN is_ignored THEN 'ignored' ELSE 'event' END AS outcome,
    redacted(reason) AS reason,
    file,
    document,
    record,
    COALESCE(nullif_blank(event_key), MD5(key_parts)) AS event_key,
    event_type,
    occurred_at,
    mail_address AS email,
    known_address_hash AS address_hash,
    known_recipient_id AS recipient_id,
    known_certificate_id AS certificate_id,
    known_message_id AS message_id,
    channel,
    redacted(link) AS url,
    redacted(agent) AS user_agent,
    coherent_class(bounce_class, printed_smtp_code, printed_enhanced_code) AS bounce_class,
    reject_reason,
    printed_smtp_code AS smtp_code,
    printed_enhanced_code AS enhanced_code,
    redacted(nullif_blank(mta_response)) AS mta_response,
    machine_rule IS NOT NULL AS is_machine,
    machine_rule AS machine_reason,
    COALESCE(is_suppressed, FALSE) AS is_suppressed,
    tag_list(redacted(tags)) AS tags,
    CASE
        WHEN GETVARIABLE('keeps_all_metadata') THEN redacted(COALESCE(texts(metadata), '{}'))
        WHEN LEN(GETVARIABLE('metadata_keys')) = 2 THEN '{}'
        ELSE redacted(object_of(GETVARIABLE('metadata_keys')[3:], named_values[3:]))
    END AS metadata,
    MD5(CONCAT_WS(
        CHR(31),
        COALESCE(known_recipient_id, ''), COALESCE(known_certificate_id, ''), COALESCE(known_message_id, ''),
        COALESCE(known_address_hash, '')
    )) AS identity_key,
    redacted(host(unwrapped_link)) AS link_host,
    CASE WHEN event_type = 'clicked' THEN LEFT(MD5(redacted(unwrapped_link)), 8) END AS link_key,
    CASE WHEN event_type = 'clicked' THEN link_channel(unwrapped_link) END AS link_channel,
    COALESCE(is_opt_out(unwrapped_link), FALSE) AS is_opt_out_link
FROM coded_records
