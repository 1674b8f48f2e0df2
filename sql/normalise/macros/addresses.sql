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

-- The forms of an address that redacted() finds, as parts of one regular expression without regard to case. RE2 searches in linear
-- time; no part may extend over many quotes, so that no search for one address reads far beyond it. Each letter costs once.
--
--   local part    letters, digits and emoji of every script, composed or not, with signs between and after them; or any words
--                 in quotes; or what a bounce address encodes: bounce+user=example.com@x, SRS0=..=x=user@y, user%x@y
--   @             plain, fullwidth or small; %40, encoded any number of times; &#64; &#x40; &commat; escaped any number of times;
--                 \u0040 and \x40 behind any number of backslashes; +AEA- of UTF-7
--   @ of a name   =40 of quoted-printable, +40 of xtext and an @ between spaces: where a name with a dot follows
--   domain        labels of every script, composed or not, A-labels (xn--), a name without a dot, or an address literal [..]
--
-- Each letter, digit, dot and quote may be encoded in the same ways. Kept are quotes, brackets, keys (to=, ?a=) and encoded
-- separators (%3C) around an address, and what is before a / ? or &, or before a link's #. Not recognised are Base64 and words
-- such as "ada at example.com".

-- Any letter beyond ASCII, and all that one may be composed of. Spaces, quotes, dots and brackets are no letters.
CREATE OR REPLACE MACRO foreign_letter() AS
    '(?-i:[^\x00-\x{A0}\x{AB}\x{BB}\x{2000}-\x{200A}\x{2010}-\x{205F}\x{3000}-\x{3003}\x{3008}-\x{3011}\x{FE6B}\x{FF08}-\x{FF09}\x{FF0C}\x{FF0E}\x{FF1A}-\x{FF1E}\x{FF20}\x{FF61}])';

-- A percent sign, encoded any number of times.
CREATE OR REPLACE MACRO coded_percent() AS
    '(?:%|\\+u0025)(?:25)*';

-- An ampersand that begins a character reference.
CREATE OR REPLACE MACRO coded_ampersand() AS
    '(?:&|' || coded_percent() || '26|\\+u0026)(?:amp(?:;|' || coded_percent() || '3B))*';

-- An encoded character, by its two hexadecimal digits and by its decimal number.
CREATE OR REPLACE MACRO coded(hex, number) AS
    '(?:(?:' || coded_percent() || '|=|\\+u00|\\+x)(?:' || hex || ')|' || coded_ampersand() || '#(?:0*(?:' || number || ')|x0*(?:' || hex || '));?)';

-- A letter, digit or hyphen, plain or encoded.
CREATE OR REPLACE MACRO letter() AS
    '(?:[\w-]|' || foreign_letter() || '|' || coded(
        '2D|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9A]|[89A-F][0-9A-F]',
        '45|4[89]|5[0-7]|6[5-9]|[78][0-9]|90|95|9[7-9]|1[01][0-9]|12[0-2]|1[6-9][0-9]|[2-9][0-9][0-9]|[0-9]{4,6}'
    ) || '|\\+u(?:0[1-9A-F]|1[0-9A-F]|2[1-9A-F]|[3-9A-F][0-9A-F])[0-9A-F]{2}|\\+u20(?:0[B-F]|60)|&#x[0-9A-F]{3,5};)';

-- The local part without quotes. It begins with a letter.
CREATE OR REPLACE MACRO plain_local_part() AS
    '(?:' || letter() || '(?:[.+=!#$*^`{|}~''\x{2019}]|\\+u2019|%&|[/?&%][!''*+^`{|}~=-]|%(?:25)*(?:[g-z]|[0-9a-f][g-z.])|'
    || coded('2[1347ABE]|3D|5E|60|7[BCDE]', '3[3-79]|4[236]|61|94|96|12[3-6]') || ')*)+(?:\\*")?';

-- The local part in quotes of one kind. It does not begin as what follows the end of a text in JSON.
CREATE OR REPLACE MACRO quoted_local_part() AS
    '"[^"\\\x00-\x1F,:}\]][^"\\\x00-\x1F]*(?:\\["\\][^"\\\x00-\x1F]*){0,4}"'
    || '|\\"[^"\\\x00-\x1F,:}\]][^"\\\x00-\x1F]*(?:\\{2,}"[^"\\\x00-\x1F]*){0,4}\\"'
    || '|\\{3}"[^"\\\x00-\x1F,:}\]][^"\\\x00-\x1F]*(?:\\{4,}"[^"\\\x00-\x1F]*){0,4}\\{3}"'
    || '|\\{2,}"[^"\\\x00-\x1F,:}\]][^"\\\x00-\x1F]*\\{2,}"'
    || '|' || coded('22', '34') || '(?:[^"\\\x00-\x1F%&=<>]|(?:' || coded_percent() || '|=)(?:[013-9A-F][0-9A-F]|2[0134679A-F]))+' || coded('22', '34')
    || '|' || coded_ampersand() || 'quot;[^"\\\x00-\x1F&]+' || coded_ampersand() || 'quot;';

CREATE OR REPLACE MACRO at_sign() AS
    '(?:[@\x{FF20}\x{FE6B}]|' || coded_percent() || '(?:40|EF' || coded_percent() || 'BC' || coded_percent() || 'A0)|\\+(?:u0040|x40|uFF20|uFE6B)|\+AEA-|'
    || coded_ampersand() || '(?:(?:#|' || coded_percent() || '23)(?:0*64|x0*40)|commat)(?:;|' || coded_percent() || '3B)?)';

-- The domain, or an address literal.
CREATE OR REPLACE MACRO domain_part() AS
    '(?:(?:(?:[.\x{3002}\x{FF0E}\x{FF61}]|' || coded('2E', '46') || '|' || coded_ampersand() || 'period;)?' || letter() || ')+'
    || '|(?:\[|' || coded_percent() || '5B)(?:[a-z0-9:.-]|' || coded_percent() || '3A)+(?:\]|' || coded_percent() || '5D))';

-- A local part and an @ that other texts may have, too, with a domain of ASCII; or a bounce address that ends in its @.
CREATE OR REPLACE MACRO doubtful_address() AS
    '(?:(?:(?:[\w=]|' || foreign_letter() || ')(?:[\w.+=!#$*^`{|}~''-]|' || foreign_letter() || ')*|"[^"\\\x00-\x1F,:}\]][^"\\\x00-\x1F]*")'
    || '(?:(?:=|\+|' || coded_percent() || '3D)40| @ )(?:(?:[a-z0-9-]|=[3-7][0-9A-F])+(?:\.|=2E))+(?:[a-z]|=[4-7][0-9A-F]){2,}'
    || '|[\w.+-]+=(?:[a-z0-9-]+\.)+[a-z]{2,}@(?:\.?[a-z0-9-])*)';

-- What is kept before an address: the beginning of a link up to a key or fragment, an encoded separator, the key of a word.
CREATE OR REPLACE MACRO link_before() AS
    '[?&/][^?&/#@\s"\\]*#|[?&][^=&;?/#@\s"\\]*=|' || coded_percent() || '(?:3F|26|23)[\w.-]+' || coded_percent() || '3D';

CREATE OR REPLACE MACRO separator_before() AS
    '\\+(?:[bfnrt/]|u(?:00(?:[01].|2[0-9AF]|3[A-F]|5[BD])|20[1-5].))|' || coded_percent() || '(?:[01].|2[02-9CF]|3[A-F]|5[BD])|=(?:2[0278C]|3[A-CEF])'
    || '|' || coded_ampersand() || '(?:lt|gt|quot|apos|nbsp|#34|#39|#60);|\?q\?';

CREATE OR REPLACE MACRO key_before() AS
    '(?:[a-z]+[_-])*(?:to|from|rcpt|b?cc|recipient|sender|e?mail|address|addr|user|username|login|name|account|owner|for|by)=';

-- A variable, because DuckDB would put the parts together again for each call of redacted().
SET VARIABLE address_pattern = '(?i)(?:([\w-]+=)(?:[g-z]|[0-9a-f][g-z_-])[\w+-]*'
    || '|((?:' || separator_before() || ')?(?:' || link_before() || '|' || key_before() || ')?)(?:' || plain_local_part() || '|' || quoted_local_part() || '))'
    || at_sign() || domain_part()
    || '|((?:' || link_before() || '|' || separator_before() || '|^|[^?&\w.%+=-])(?:' || key_before() || ')?)' || doubtful_address();

-- Return whether a text may hold an address. Looking for words is far cheaper than a regular expression.
CREATE OR REPLACE MACRO may_hold_address(word) AS
    CONTAINS(word, '@')
    OR (CONTAINS(word, '40') AND REGEXP_MATCHES(word, '(?i)(?:[%=+]|%(?:25)+|%(?:25)*3D|u00(?:25)?|(?:#|%(?:25)*23)x0*|\\x)40'))
    OR (CONTAINS(word, '64') AND REGEXP_MATCHES(word, '(?:#|%(?:25)*23)0*64'))
    OR CONTAINS(word, 'commat') OR CONTAINS(word, '+AEA-')
    OR (CONTAINS(word, '\u') AND REGEXP_MATCHES(word, '(?i)uff20|ufe6b'))
    OR CONTAINS(word, CHR(65312)) OR CONTAINS(word, CHR(65131))
    OR (CONTAINS(word, '%') AND REGEXP_MATCHES(word, '(?i)%(?:25)*BC%(?:25)*A0'));

-- Replace the addresses in a text or link, in each of the forms above.
CREATE OR REPLACE MACRO redacted(word) AS
    CASE
        WHEN may_hold_address(word)
            THEN REPLACE(REGEXP_REPLACE(word, GETVARIABLE('address_pattern'), '\1\2\3<address>', 'g'), '<<address>>', '<address>')
        ELSE word
    END;
