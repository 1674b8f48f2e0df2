-- times: macros that read times as naive UTC. Each returns NULL for what it cannot read.

-- Read an epoch whose unit has so many microseconds. Digits below a microsecond are cut. Times beyond the year 2200 become that
-- year, which classified.sql rejects. TRY_CAST, because DuckDB 1.5 casts the fields of a union's rows before it checks CASE.
CREATE OR REPLACE MACRO epoch_time(number, microseconds) AS
    MAKE_TIMESTAMP(
        CASE
            WHEN REGEXP_FULL_MATCH(number, '\d{1,15}')
                THEN LEAST(TRY_CAST(number AS BIGINT), 7258118400000000 // microseconds) * microseconds
            WHEN REGEXP_FULL_MATCH(number, '\s*\d{1,15}(\.\d+)?\s*')
                THEN LEAST(TRY_CAST(SPLIT_PART(number, '.', 1) AS BIGINT), 7258118400000000 // microseconds) * microseconds
                    + TRY_CAST(LEFT(RPAD(SPLIT_PART(TRIM(number), '.', 2), 6, '0'), 6) AS BIGINT) * microseconds // 1000000
        END
    );

-- Read ISO 8601 with Z, an offset, or neither (then UTC). Digits below a microsecond are cut. One search recognises the usual
-- form. Other forms may lack the seconds, and have small letters, a comma before the fraction, or spaces around them.
CREATE OR REPLACE MACRO iso_time(word) AS
    MAKE_TIMESTAMP(EPOCH_US(TRY_CAST(
        CASE
            WHEN REGEXP_FULL_MATCH(word, '\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})?') THEN word
            WHEN REGEXP_FULL_MATCH(word, '\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}\.\d+(Z|[+-]\d{2}:\d{2})?')
                THEN LEFT(word, 26) || LTRIM(SUBSTRING(word, 27), '0123456789')
            WHEN REGEXP_MATCHES(word, '^\s*\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}')
                THEN REGEXP_REPLACE(
                    REGEXP_REPLACE(UPPER(TRIM(word)), '^(.{16})(Z|[+-])', '\1:00\2'), '^(.{19})[.,](\d{1,6})\d*', '\1.\2'
                )
        END AS TIMESTAMPTZ
    )));

-- Read the same, and a date without a time as midnight UTC.
CREATE OR REPLACE MACRO iso_time_or_date(word) AS
    iso_time(REGEXP_REPLACE(word, '^\s*(\d{4}-\d{2}-\d{2})\s*$', '\1T00:00'));

-- Read Apache's and nginx's %t, such as 10/Oct/2025:13:55:36 +0200.
CREATE OR REPLACE MACRO clf_time(word) AS
    MAKE_TIMESTAMP(EPOCH_US(TRY_STRPTIME(word, '%d/%b/%Y:%H:%M:%S %z')));

-- Return the first instant that is too late for a record of a file. Where all files have the same, it costs no search.
CREATE OR REPLACE MACRO time_limit(file) AS
    COALESCE(CAST(GETVARIABLE('only_time_limit') AS TIMESTAMP), CAST(MAP(GETVARIABLE('files'), GETVARIABLE('time_limits'))[file] AS TIMESTAMP));
