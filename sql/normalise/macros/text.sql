-- text: macros that read words, ids, tags and form bodies. Each returns NULL for what it cannot read.

-- The characters that nobody sees at the end of a word, as a class of a regular expression: white space (\pZ has the no-break,
-- thin and ideographic spaces), control characters, characters without a width (\p{Cf} has the zero-width ones, the soft
-- hyphen, the byte-order mark and the marks of direction), and the letters that fonts leave blank (Hangul fillers, Braille).
CREATE OR REPLACE MACRO invisible() AS
    '\pZ\p{Cc}\p{Cf}\x{034F}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180B}-\x{180E}\x{2065}\x{2800}\x{3164}\x{FFA0}';

-- Trim invisible characters. Nearly every word begins and ends with a visible character of ASCII, and looking for that is far
-- cheaper than a regular expression.
CREATE OR REPLACE MACRO trimmed(word) AS
    CASE
        WHEN word BETWEEN '!' AND '~' AND word[-1] BETWEEN '!' AND '~' THEN word
        ELSE REGEXP_REPLACE(word, '^[' || invisible() || ']+|[' || invisible() || ']+$', '', 'g')
    END;

-- Trim a word. Return NULL for '' and '-'.
CREATE OR REPLACE MACRO nullif_blank(word) AS
    NULLIF(NULLIF(trimmed(word), ''), '-');

-- Remove the brackets of <id>.
CREATE OR REPLACE MACRO bare_id(word) AS
    nullif_blank(CASE WHEN CONTAINS(word, '<') THEN REGEXP_REPLACE(trimmed(word), '^<(.*)>$', '\1') ELSE word END);

-- Return a list of tags from the text of a JSON list or from a single word.
CREATE OR REPLACE MACRO tag_list(word) AS
    CASE
        WHEN nullif_blank(word) IS NULL THEN CAST([] AS VARCHAR[])
        WHEN NOT REGEXP_MATCHES(word, '^\s*\[') OR NOT JSON_VALID(word) THEN [trimmed(word)]
        WHEN REGEXP_MATCHES(word, 'null|"(?:[' || invisible() || ']|\\[bfnrtu])*-?(?:[' || invisible() || ']|\\[bfnrtu])*"|\\u[0-9a-fA-F]{4}"')
            THEN LIST_FILTER(CAST(JSON_TRANSFORM(word, '["VARCHAR"]') AS VARCHAR[]), lambda tag : nullif_blank(tag) IS NOT NULL)
        ELSE CAST(JSON_TRANSFORM(word, '["VARCHAR"]') AS VARCHAR[])
    END;

-- Return what stands for a line beside each of its records: the text of a short one, else its hash. A copy of the line for each
-- of its records would take the square of its length.
CREATE OR REPLACE MACRO line_key(line) AS
    CASE WHEN STRLEN(line) < 100 THEN line ELSE CAST(HASH(line) AS VARCHAR) END;

-- Decode a word of a form's body (application/x-www-form-urlencoded): + is a space, %HH are bytes of UTF-8. DuckDB frees the
-- text of a Python function that COALESCE gets directly; REPLACE makes a copy that DuckDB owns.
CREATE OR REPLACE MACRO form_text(word) AS
    COALESCE(
        REPLACE(TRY(URL_DECODE(REPLACE(word, '+', ' '))), CHR(0), CHR(65533)),
        REPLACE(unquoted(REPLACE(word, '+', ' ')), CHR(0), CHR(65533))
    );

-- Return the fields of a form's body, in their order.
CREATE OR REPLACE MACRO form_fields(body) AS
    LIST_TRANSFORM(
        STRING_SPLIT(body, '&'),
        lambda field : {'key': form_text(SPLIT_PART(field, '=', 1)), 'value': form_text(REGEXP_EXTRACT(field, '=(.*)', 1))}
    );

-- Return the first of each key's values from sorted [key, position, value], as key and value. Comparing neighbours takes less
-- than quadratic time.
CREATE OR REPLACE MACRO first_of_each(triples) AS
    LIST_TRANSFORM(
        LIST_FILTER(
            LIST_ZIP(triples, [NULL] || LIST_TRANSFORM(triples, lambda triple : triple[1]), TRUE),
            lambda neighbours : neighbours[1][1] IS DISTINCT FROM neighbours[2]
        ),
        lambda neighbours : {'key': neighbours[1][1], 'value': neighbours[1][3]}
    );

-- Return the first field of each key, sorted.
CREATE OR REPLACE MACRO first_fields(fields) AS
    first_of_each(LIST_SORT(LIST_ZIP(
        LIST_TRANSFORM(fields, lambda field : field.key), RANGE(CAST(LEN(fields) AS BIGINT)), LIST_TRANSFORM(fields, lambda field : field.value)
    )));

-- Return whether a record is a form's body. In one, quotes are coded; a JSON document after it is a record of its own.
CREATE OR REPLACE MACRO is_form(record) AS
    REGEXP_MATCHES(record, '^\s*[\w.%+*-]+=') AND NOT REGEXP_MATCHES(record, '\{\s*"');

-- Remove the prefix "smtp;" or "sent (" from the MTA's reply, so that it begins with its code.
CREATE OR REPLACE MACRO reply(word) AS
    CASE WHEN REGEXP_MATCHES(word, '^[sS\s]') THEN REGEXP_REPLACE(TRIM(word), '^(?:smtp;|sent \()\s*', '', 'i') ELSE word END;
