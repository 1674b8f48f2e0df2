-- lines: the raw text of a slice's files.
--
-- Grain   one row per line of the files in the variable files, which the stage has made clean UTF-8 with \n
-- Counts  blank lines are rows too (NULL): rejects are numbered by them
SELECT
    file,
    REPLACE(line, '\u0000', '\ufffd') AS document  -- a NUL that JSON escapes: no database keeps it
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
    filename = 'file'
)
