-- lines: the raw lines of a slice's files.
--
-- Grain   one row per line of the files in the variable files, which the stage has made clean UTF-8 with \n
-- Counts  blank lines are rows too, with NULL, because rejects are numbered by line
SELECT
    file,
    storable(line) AS document
FROM READ_CSV(
    GETVARIABLE('files'),
    columns = {'line': 'VARCHAR'},
    delim = E'\x01',
    quote = '',
    escape = '',
    header = FALSE,
    auto_detect = FALSE,
    strict_mode = FALSE,
    new_line = '\n',
    max_line_size = 33554432,
    buffer_size = 33554432,
    filename = 'file'
)
