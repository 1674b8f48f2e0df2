-- shifts: where the lines of a file that was copied document by document have other numbers than the raw file's.
--
-- Grain   one row per line of a copy from which on the difference is another
SELECT
    MAP(GETVARIABLE('shift_files'), GETVARIABLE('copies'))[file] AS file,
    line,
    shift
FROM READ_CSV(
    GETVARIABLE('shift_files'),
    columns = {'line': 'BIGINT', 'shift': 'BIGINT'},
    header = FALSE,
    auto_detect = FALSE,
    filename = 'file'
)
