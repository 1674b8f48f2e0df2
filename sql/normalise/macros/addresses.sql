-- addresses: macros that read, hash and redact e-mail addresses. Each gives NULL for what it cannot read.

-- The address in `Name <a@b>`, the only one of a list, or the word itself; none where several could be meant.
CREATE OR REPLACE MACRO address(word) AS
    CASE
        WHEN NOT CONTAINS(word, '@') THEN NULL
        WHEN NOT REGEXP_MATCHES(word, '[\s,;<>"]|^\[') THEN word
        WHEN LEN(REGEXP_EXTRACT_ALL(word, '<[^<>\s]+@[^<>\s]+>')) = 1 THEN REGEXP_EXTRACT(word, '<([^<>\s]+@[^<>\s]+)>', 1)
        WHEN LEN(REGEXP_EXTRACT_ALL(word, '[^\s,;<>"\[\]]+@[^\s,;<>"\[\]]+')) = 1
            THEN REGEXP_EXTRACT(word, '[^\s,;<>"\[\]]+@[^\s,;<>"\[\]]+')
        WHEN NOT REGEXP_MATCHES(word, '@.*@') THEN TRIM(word)
    END;

-- What stands for an address outside the registry: 128 bits of a hash with the key of this installation.
CREATE OR REPLACE MACRO address_hash(address, hash_key) AS
    LEFT(SHA256(hash_key || LOWER(address)), 32);

-- Free text without addresses; percent-encoded ones are addresses too. An escape of JSON before an address stays whole.
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

-- A link without addresses: what stands around them, and separates them, stays.
CREATE OR REPLACE MACRO redacted_link(link) AS
    CASE
        WHEN CONTAINS(link, '@') OR CONTAINS(link, '%40') OR CONTAINS(link, '%2540')
            THEN REGEXP_REPLACE(link, '[\p{L}\p{N}._%+''!$*^`{|}~-]+(?:@|%(?:25)*40)[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*', '<address>', 'g')
        ELSE link
    END;
