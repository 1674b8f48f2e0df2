-- registry: macros that read the registry's words, and say why a row is left out or listed. Each returns NULL for what it cannot
-- read.

-- Return the rule that a row breaks. A row also breaks a rule where an earlier row that breaks none has the same id.
CREATE OR REPLACE MACRO registry_reason(broken_rule, line, id, id_name) AS
    COALESCE(
        broken_rule,
        CASE WHEN line > MIN(line) FILTER (WHERE broken_rule IS NULL) OVER (PARTITION BY id) THEN 'duplicate ' || id_name END
    );

-- Tell whether a text is exactly one mailbox, with or without a name. Python knows the rule; plain addresses need no call of it.
CREATE OR REPLACE MACRO is_mailbox(word) AS
    CASE
        WHEN STRLEN(word) <= 64 AND REGEXP_FULL_MATCH(word, '[\w+-]+(\.[\w+-]+)*@([A-Za-z0-9]+(-[A-Za-z0-9]+)*\.)+[A-Za-z]+') THEN TRUE
        WHEN word IS NULL THEN FALSE
        ELSE parses_as_mailbox(word)
    END;

-- Tell whether a text is exactly one address without a name.
CREATE OR REPLACE MACRO is_address(word) AS
    is_mailbox(word) AND NOT ENDS_WITH(word, '>');

-- Say that only a server with SMTPUTF8 (RFC 6531) takes an address. An international domain has a form that any server takes.
CREATE OR REPLACE MACRO smtputf8_warning(word) AS
    CASE
        WHEN REGEXP_MATCHES(word, '[^\x00-\x7f].*@') AND is_address(word)
            THEN 'only a mail server with SMTPUTF8 takes the address'
    END;

-- Read a boolean as databases and spreadsheets write it. NULL is neither.
CREATE OR REPLACE MACRO truth(word) AS
    CASE
        WHEN LOWER(trimmed(word)) IN ('true', 't', '1', 'yes', 'y', 'on') THEN TRUE
        WHEN LOWER(trimmed(word)) IN ('false', 'f', '0', 'no', 'n', 'off', '') THEN FALSE
    END;

-- Write a time that begins with its year as ISO 8601: hyphens, two digits each, and Z or an offset without a blank before it.
CREATE OR REPLACE MACRO iso_form(word) AS
    REGEXP_REPLACE(
        REGEXP_REPLACE(
            REGEXP_REPLACE(
                REGEXP_REPLACE(
                    REGEXP_REPLACE(
                        REGEXP_REPLACE(UPPER(trimmed(word)), '^(\d{4})[-/](\d{1,2})[-/](\d{1,2})(\D|$)', '\1-\2-\3\4'),
                        '^(\d{4})-(\d)-', '\1-0\2-'
                    ),
                    '^(\d{4}-\d{2})-(\d)(\D|$)', '\1-0\2\3'
                ),
                '^(\d{4}-\d{2}-\d{2})[T ] *(\d):', '\1T0\2:'
            ),
            ' *(?:UTC|GMT)$', 'Z'
        ),
        ' +(Z|[+-]\d{2}(?::?\d{2})?)$', '\1'
    );

-- Read a time in that form, but not one before 1900 or from 2200 on, which is a sentinel or beyond what Python can hold.
CREATE OR REPLACE MACRO likely_time(form) AS
    CASE
        WHEN REGEXP_FULL_MATCH(form, '(19|20|21)\d{2}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}(:?\d{2}){0,2})?)?')
            THEN iso_time_or_date(form)
    END;

-- Read a time of the registry, or a date as midnight UTC. Days before months, and zones by name, are ambiguous. The list holds the
-- form, so that it is found once and not in each place where a macro reads it.
CREATE OR REPLACE MACRO registry_time(word) AS
    LIST_TRANSFORM([iso_form(word)], lambda form : likely_time(form))[1];

-- Say why an address is none.
CREATE OR REPLACE MACRO bad_address(column_name) AS
    'bad ' || column_name || ': write one address, as name@example.com';

-- Say why a time cannot be read.
CREATE OR REPLACE MACRO bad_time(column_name) AS
    'bad ' || column_name || ': write it as 2026-11-20T08:00:00Z';

-- Join the reasons why a kept row is listed.
CREATE OR REPLACE MACRO warnings(first, second, third) AS
    NULLIF(CONCAT_WS('; ', first, second, third), '');
