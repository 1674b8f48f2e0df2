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

-- Return the keys of an object with their positions and values, sorted.
CREATE OR REPLACE MACRO sorted_pairs(object) AS
    LIST_SORT(LIST_ZIP(JSON_KEYS(object), RANGE(CAST(LEN(JSON_KEYS(object)) AS BIGINT)), JSON_EXTRACT_STRING(object, '$.*')));

-- Return the entries of an object, as texts. JSON allows a key twice, but a map does not (and TRY does not help): the first
-- counts, as everywhere in JSON_TRANSFORM.
CREATE OR REPLACE MACRO entries(object) AS
    CASE
        WHEN object IS NULL THEN NULL
        WHEN LEN(LIST_DISTINCT(JSON_KEYS(object))) = LEN(JSON_KEYS(object)) THEN MAP_ENTRIES(JSON_TRANSFORM(object, '"MAP(VARCHAR, VARCHAR)"'))
        ELSE first_of_each(sorted_pairs(object))
    END;

-- Return a metadata object with its values as texts, without nulls, each key once.
CREATE OR REPLACE MACRO texts(object) AS
    CASE
        WHEN object IS NULL OR object = '{}' THEN '{}'
        WHEN NOT REGEXP_MATCHES(object, ':\s*[^"\s]') AND LEN(LIST_DISTINCT(JSON_KEYS(object))) = LEN(JSON_KEYS(object)) THEN object
        ELSE CAST(TO_JSON(MAP_FROM_ENTRIES(LIST_FILTER(entries(object), lambda entry : entry.value IS NOT NULL))) AS VARCHAR)
    END;

-- Return the object of the keys that have a value.
CREATE OR REPLACE MACRO object_of(keys, words) AS
    COALESCE(CAST(TO_JSON(MAP_FROM_ENTRIES(LIST_FILTER(LIST_ZIP(keys, words), lambda pair : pair[2] IS NOT NULL))) AS VARCHAR), '{}');

-- Say what an object lacks, and the first of the keys that have a value; NULL for any other text. No value is shown.
CREATE OR REPLACE MACRO missing(thing, object) AS
    'no ' || thing || ' among its keys: ' || NULLIF(ARRAY_TO_STRING(LIST_TRANSFORM(
        LIST_FILTER(
            LIST_ZIP(TRY(JSON_KEYS(object)), TRY(JSON_EXTRACT_STRING(object, '$.*'))), lambda pair : nullif_blank(pair[2]) IS NOT NULL
        )[:12],
        lambda pair : LEFT(REGEXP_REPLACE(pair[1], '\p{C}+', '?', 'g'), 40)
    ), ', '), '');

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
