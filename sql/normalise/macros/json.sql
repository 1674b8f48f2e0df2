-- json: macros that read JSON documents and objects. Each returns NULL for what it cannot read.

-- Remove the escapes that JSON allows but others reject: DuckDB's parser half a surrogate pair, databases NUL.
CREATE OR REPLACE MACRO storable(document) AS
    CASE
        WHEN NOT CONTAINS(document, '\u') THEN document
        WHEN JSON_VALID(document) THEN REPLACE(document, '\u0000', '\ufffd')
        ELSE REPLACE(
            REGEXP_REPLACE(document, '(?i)(\\ud[89ab]..\\ud[c-f]..)|\\ud[89a-f]..', '\1', 'g'), '\u0000', '\ufffd'
        )
    END;

-- Remove keys from an object; NULL for what does not parse. For a constant list DuckDB builds the patch only once.
CREATE OR REPLACE MACRO without(object, keys) AS
    CAST(JSON_MERGE_PATCH(object, '{"' || ARRAY_TO_STRING(keys, '":null,"') || '":null}') AS VARCHAR);

-- Return a metadata object with its values as texts, without nulls. JSON allows a key twice, but a map does not.
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

-- Return the records of a provider's page {"key": [...]}: none for an empty page, and the record itself where it is no page.
CREATE OR REPLACE MACRO members(record, key) AS
    CASE
        WHEN REGEXP_MATCHES(record, '"' || key || '"\s*:\s*\[') AND TRY(JSON_TYPE(record, '$.' || key)) = 'ARRAY'
            THEN CAST(JSON_EXTRACT(record, '$.' || key || '[*]') AS VARCHAR[])
        ELSE [record]
    END;

-- Return a word if it is the text of a JSON object, else NULL: other metadata cannot be used.
CREATE OR REPLACE MACRO object_text(word) AS
    CASE WHEN STARTS_WITH(LTRIM(word), '{') AND JSON_VALID(word) THEN word END;
