-- bounces: macros that read a server's reply codes, and hold a bounce's class to them. Each returns NULL for what it cannot read.

-- Return the SMTP code of a field of its own, else the one with which the reply begins.
CREATE OR REPLACE MACRO smtp_code(word, reply_text) AS
    COALESCE(nullif_blank(word), NULLIF(REGEXP_EXTRACT(reply_text, '^(\d{3})(?:\D|$)', 1), ''));

-- Return the enhanced code of a field of its own, else the first in the reply.
CREATE OR REPLACE MACRO enhanced_code(word, reply_text) AS
    COALESCE(
        NULLIF(REGEXP_EXTRACT(word, '^\s*(\d\.\d{1,3}\.\d{1,3})', 1), ''),
        NULLIF(REGEXP_EXTRACT(reply_text, '(?:^|[^\d.])([245]\.\d{1,3}\.\d{1,3})(?:[^\d.]|\.?$)', 1), '')
    );

-- Correct the class of a bounce that its codes contradict: 5.1.x (there is no such address) is hard, 4xx and 4.x.x are soft.
-- Codes that contradict each other leave a hard or soft bounce undetermined. A block stays one, whatever its code.
CREATE OR REPLACE MACRO coherent_class(bounce_class, smtp_code, enhanced_code) AS
    CASE
        WHEN bounce_class IS NULL OR bounce_class NOT IN ('hard', 'soft') THEN bounce_class
        WHEN STARTS_WITH(enhanced_code, '5.1.') THEN IF(COALESCE(STARTS_WITH(smtp_code, '4'), FALSE), 'undetermined', 'hard')
        WHEN STARTS_WITH(smtp_code, '4') OR STARTS_WITH(enhanced_code, '4.') THEN 'soft'
        ELSE bounce_class
    END;
