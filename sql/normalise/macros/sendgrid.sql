-- sendgrid: macros that list the keys of SendGrid's own in an event of its webhook. All others are the sender's metadata.

CREATE OR REPLACE MACRO usual_sendgrid_keys() AS [
    'attempt', 'bounce_classification', 'category', 'email', 'event', 'ip', 'reason', 'response', 'sg_content_type', 'sg_event_id',
    'sg_machine_open', 'sg_message_id', 'smtp-id', 'status', 'timestamp', 'tls', 'type', 'url', 'url_offset', 'useragent'
];

-- Return the keys that few accounts use.
CREATE OR REPLACE MACRO rare_sendgrid_keys() AS [
    'anymail_id', 'asm_group_id', 'cert_err', 'marketing_campaign_id', 'marketing_campaign_name', 'marketing_campaign_version',
    'marketing_campaign_split_id', 'mc_stats', 'newsletter', 'nlvx_campaign_id', 'nlvx_campaign_split_id', 'nlvx_user_id', 'phase_id',
    'pool', 'post_type', 'send_at', 'sg_template_id', 'sg_template_name', 'sg_user_id', 'singlesend_id', 'singlesend_name', 'template',
    'unique_args'
];
