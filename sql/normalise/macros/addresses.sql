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

-- Replace the addresses in free text, percent-encoded ones too. A JSON escape before an address is kept whole.
CREATE OR REPLACE MACRO redacted(word) AS
    CASE
        WHEN CONTAINS(word, '@') OR CONTAINS(word, '%40') OR CONTAINS(word, '%2540')
            THEN REPLACE(REGEXP_REPLACE(
                word,
                '(\\(?:[bfnrt]|u[0-9a-f]{4}))?[\p{L}\p{N}._%+''!#$&*/=?^`{|}~-]+(?:@|%(?:25)*40)(?:\[[^\]]*\]|[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*)',
                '\1<address>', 'gi'
            ), '<<address>>', '<address>')
        ELSE word
    END;

-- Replace the addresses in a link. The text around them, and the separators between them, are kept.
CREATE OR REPLACE MACRO redacted_link(link) AS
    CASE
        WHEN CONTAINS(link, '@') OR CONTAINS(link, '%40') OR CONTAINS(link, '%2540')
            THEN REGEXP_REPLACE(link, '[\p{L}\p{N}._%+''!$*^`{|}~-]+(?:@|%(?:25)*40)[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*', '<address>', 'g')
        ELSE link
    END;
