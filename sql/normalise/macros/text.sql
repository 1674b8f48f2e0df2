-- text: macros that read words, ids, tags and form bodies. Each gives NULL for what it cannot read.

-- A word without the spaces around it; to look for them is far cheaper than to trim.
CREATE OR REPLACE MACRO trimmed(word) AS
    CASE WHEN STARTS_WITH(word, ' ') OR ENDS_WITH(word, ' ') THEN TRIM(word) ELSE word END;

-- '' and '-' say nothing.
CREATE OR REPLACE MACRO nullif_blank(word) AS
    NULLIF(NULLIF(trimmed(word), ''), '-');

-- <id> without its brackets.
CREATE OR REPLACE MACRO bare_id(word) AS
    nullif_blank(CASE WHEN CONTAINS(word, '<') THEN REGEXP_REPLACE(TRIM(word), '^<(.*)>$', '\1') ELSE word END);

-- A list of tags: a JSON list, the text of one, or a single word.
CREATE OR REPLACE MACRO tag_list(word) AS
    CASE
        WHEN nullif_blank(word) IS NULL THEN CAST([] AS VARCHAR[])
        WHEN NOT REGEXP_MATCHES(word, '^\s*\[') OR NOT JSON_VALID(word) THEN [trimmed(word)]
        WHEN REGEXP_MATCHES(word, 'null|" *-? *"')
            THEN LIST_FILTER(CAST(JSON_TRANSFORM(word, '["VARCHAR"]') AS VARCHAR[]), lambda tag : nullif_blank(tag) IS NOT NULL)
        ELSE CAST(JSON_TRANSFORM(word, '["VARCHAR"]') AS VARCHAR[])
    END;

-- A word of a form's body (application/x-www-form-urlencoded): + is a space, %HH are bytes of UTF-8. COALESCE over a bare
-- Python function would give text that DuckDB has let go of: REPLACE makes it DuckDB's own.
CREATE OR REPLACE MACRO form_text(word) AS
    COALESCE(
        REPLACE(TRY(URL_DECODE(REPLACE(word, '+', ' '))), CHR(0), CHR(65533)),
        REPLACE(unquoted(REPLACE(word, '+', ' ')), CHR(0), CHR(65533))
    );

-- The fields of such a body, in their order.
CREATE OR REPLACE MACRO form_fields(body) AS
    LIST_TRANSFORM(
        STRING_SPLIT(body, '&'),
        lambda field : {'key': form_text(SPLIT_PART(field, '=', 1)), 'value': form_text(REGEXP_EXTRACT(field, '=(.*)', 1))}
    );

-- Whether a record is such a body.
CREATE OR REPLACE MACRO is_form(record) AS
    REGEXP_MATCHES(record, '^\s*[\w.%+*-]+=');

-- What the MTA said, before codes are read from it.
CREATE OR REPLACE MACRO reply(word) AS
    CASE WHEN REGEXP_MATCHES(word, '^[sS\s]') THEN REGEXP_REPLACE(TRIM(word), '^(?:smtp;|sent \()\s*', '', 'i') ELSE word END;
