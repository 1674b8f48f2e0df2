-- explained: events in the form that the command line prints, repeats included.
--
-- Grain   one row per record that became an event, in the order of the files
-- Reads   staged
SELECT
    MAP(GETVARIABLE('files'), GETVARIABLE('origins'))[file] AS file,
    TO_JSON({
        'event_key': event_key,
        'event_type': event_type,
        'occurred_at': STRFTIME(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ'),
        'email': email,
        'recipient_id': recipient_id,
        'certificate_id': certificate_id,
        'message_id': message_id,
        'channel': channel,
        'url': url,
        'user_agent': user_agent,
        'bounce_class': bounce_class,
        'reject_reason': reject_reason,
        'smtp_code': smtp_code,
        'enhanced_code': enhanced_code,
        'mta_response': mta_response,
        'is_machine': is_machine,
        'machine_reason': machine_reason,
        'is_suppressed': is_suppressed,
        'tags': tags,
        'metadata': CAST(metadata AS JSON)
    }) AS event
FROM staged
WHERE outcome = 'event'
