-- addresses: macros that read, hash and redact e-mail addresses. Each returns NULL for what it cannot read.

-- Return the only address of a word that holds a name or several words; NULL where there are several addresses.
CREATE OR REPLACE MACRO listed_address(word) AS
    CASE
        WHEN NOT REGEXP_MATCHES(word, '[\pZ\p{Cc},;<>"]|^\[') THEN word
        WHEN LEN(REGEXP_EXTRACT_ALL(word, '<[^<>\pZ\p{Cc}]+@[^<>\pZ\p{Cc}]+>')) = 1
            THEN trimmed(REGEXP_EXTRACT(word, '<([^<>\pZ\p{Cc}]+@[^<>\pZ\p{Cc}]+)>', 1))
        WHEN LEN(REGEXP_EXTRACT_ALL(word, '[^\pZ\p{Cc},;<>"\[\]]+@[^\pZ\p{Cc},;<>"\[\]]+')) = 1
            THEN trimmed(REGEXP_EXTRACT(word, '[^\pZ\p{Cc},;<>"\[\]]+@[^\pZ\p{Cc},;<>"\[\]]+'))
        WHEN NOT REGEXP_MATCHES(word, '@.*@') THEN word
    END;

-- Return the address in `Name <a@b>`, the only address of a list, or the word itself; NULL where there are several.
CREATE OR REPLACE MACRO address(word) AS
    CASE
        WHEN NOT CONTAINS(word, '@') THEN NULL
        WHEN NOT REGEXP_MATCHES(word, '[,;<>"' || invisible() || ']|^\[') THEN word
        ELSE listed_address(trimmed(word))
    END;

-- Hash an address: 128 bits, with the key of this installation. Outside the registry only the hash is stored.
CREATE OR REPLACE MACRO address_hash(address, hash_key) AS
    LEFT(SHA256(hash_key || LOWER(address)), 32);

-- The parts of an address that redacted() and redacted_link() look for. RE2 searches in linear time. Percent signs are part of
-- every class. Words such as "ada at example.com" are no address here.

-- A letter outside ASCII: of any script, composed or not, an emoji, a JSON escape or a character reference.
CREATE OR REPLACE MACRO coded_letter() AS
    '[^\x00-\x7F\pZ\pP\p{Cc}]|\\+u(?:00[89A-Fa-f]|0[1-9A-Fa-f].|[1-9A-Fa-f]..)[0-9A-Fa-f]|&(?:amp;)*#[Xx]?[0-9A-Fa-f]+;';

-- The sign itself, fullwidth and small too; %40, encoded any number of times; \u0040 and \x40 of JSON and scripts; references
-- of HTML; UTF-7.
CREATE OR REPLACE MACRO at_sign() AS
    '(?:[@\x{FF20}\x{FE6B}]|%(?:25)*40|\\+(?:u00|x)40|&(?:amp;)*(?:#0*64|#[Xx]0*40|commat);|\+AEA-)';

-- In quoted-printable and xtext (RFC 3461) the sign is =40 and +40; other texts have these too, so a whole domain must follow.
CREATE OR REPLACE MACRO doubtful_at_sign() AS
    '[=+]40(?:[\w-]+\.)+[A-Za-z]{2,}';

CREATE OR REPLACE MACRO domain() AS
    '(?:[\w%-]|' || coded_letter() || ')+(?:(?:[.\x{3002}\x{FF0E}\x{FF61}]|=2E)(?:[\w%-]|' || coded_letter() || ')+)*';

-- A local part in quotes, whose quotes may be escaped or encoded.
CREATE OR REPLACE MACRO quoted_local_part() AS
    '\\*"[^"\\<>]+\\*"|%(?:25)*22[^"\s<>&]+%(?:25)*22|&quot;[^"<>&]+&quot;';

-- Return whether a text may hold an address. These tests are far cheaper than the regular expressions.
CREATE OR REPLACE MACRO may_hold_address(word) AS
    CONTAINS(word, '@')
    OR (CONTAINS(word, '40') AND REGEXP_MATCHES(word, '[%=+]40|2540|[ux]0*40'))
    OR (CONTAINS(word, '64') AND REGEXP_MATCHES(word, '#0*64;'))
    OR CONTAINS(word, 'commat;') OR CONTAINS(word, '+AEA-')
    OR (STRLEN(word) != LENGTH(word) AND REGEXP_MATCHES(word, '[\x{FF20}\x{FE6B}]'));

-- Replace the addresses in free text. A quote or a JSON escape before an address is kept.
CREATE OR REPLACE MACRO redacted(word) AS
    CASE
        WHEN may_hold_address(word)
            THEN REPLACE(REGEXP_REPLACE(
                word,
                '(\\(?:[bfnrt/]|u00[0-7][0-9A-Fa-f]))?(?:' || quoted_local_part()
                || '|(?:[\w.%+!#$&*/=?^`{|}~-]|' || coded_letter()
                || ')(?:[\w.%+''!#$&*/=?^`{|}~-]|' || coded_letter()
                || ')*)(?:' || at_sign() || '(?:\[[^\]]*\]|' || domain() || ')|' || doubtful_at_sign() || ')',
                '\1<address>', 'g'
            ), '<<address>>', '<address>')
        ELSE word
    END;

-- Replace the addresses in a link. The separators between its parts are kept.
CREATE OR REPLACE MACRO redacted_link(link) AS
    CASE
        WHEN may_hold_address(link)
            THEN REGEXP_REPLACE(
                link,
                '(?:' || quoted_local_part() || '|(?:[\w.%+''!$*^`{|}~-]|' || coded_letter()
                || ')+)' || at_sign() || '(?:\[[^\]]*\]|' || domain() || ')',
                '<address>', 'g'
            )
        ELSE link
    END;
