-- json: macros that read JSON documents and objects. Each gives NULL for what it cannot read.

-- A document without the escapes that JSON allows and others do not: half a surrogate pair stops DuckDB's parser, NUL a database.
CREATE OR REPLACE MACRO storable(document) AS
    CASE
        WHEN NOT CONTAINS(document, '\u') THEN document
        WHEN JSON_VALID(document) THEN REPLACE(document, '\u0000', '\ufffd')
        ELSE REPLACE(
            REGEXP_REPLACE(document, '(?i)(\\ud[89ab]..\\ud[c-f]..)|\\ud[89a-f]..', '\1', 'g'), '\u0000', '\ufffd'
        )
    END;

-- An object without some of its keys; NULL for what does not parse. A constant list costs one patch, made once.
CREATE OR REPLACE MACRO without(object, keys) AS
    CAST(JSON_MERGE_PATCH(object, '{"' || ARRAY_TO_STRING(keys, '":null,"') || '":null}') AS VARCHAR);

-- The values of a metadata object, as texts; what is null is left out. JSON may name a key twice, a map may not.
CREATE OR REPLACE MACRO texts(object) AS
    CASE
        WHEN object IS NULL OR object = '{}' THEN '{}'
        WHEN NOT REGEXP_MATCHES(object, ':\s*[^"\s]') THEN object
        WHEN LEN(LIST_DISTINCT(JSON_KEYS(object))) = LEN(JSON_KEYS(object))
            THEN CAST(TO_JSON(MAP_FROM_ENTRIES(LIST_FILTER(
                MAP_ENTRIES(JSON_TRANSFORM(object, '"MAP(VARCHAR, VARCHAR)"')), lambda entry : entry.value IS NOT NULL
            ))) AS VARCHAR)
        ELSE CAST(TO_JSON(MAP_FROM_ENTRIES(LIST_FILTER(
            LIST_TRANSFORM(
                LIST_DISTINCT(JSON_KEYS(object)),
                lambda key : {'key': key, 'value': JSON_EXTRACT_STRING(object, '/' || REPLACE(REPLACE(key, '~', '~0'), '/', '~1'))}
            ), lambda entry : entry.value IS NOT NULL
        ))) AS VARCHAR)
    END;

-- The records of a provider's page {"key": [...]}, or the record itself where it is none; an empty page has none.
CREATE OR REPLACE MACRO members(record, key) AS
    CASE
        WHEN REGEXP_MATCHES(record, '"' || key || '"\s*:\s*\[') AND TRY(JSON_TYPE(record, '$.' || key)) = 'ARRAY'
            THEN CAST(JSON_EXTRACT(record, '$.' || key || '[*]') AS VARCHAR[])
        ELSE [record]
    END;

-- A word that is the text of a JSON object; metadata that is no such text says nothing.
CREATE OR REPLACE MACRO object_text(word) AS
    CASE WHEN STARTS_WITH(LTRIM(word), '{') AND JSON_VALID(word) THEN word END;
