-- data_through: the time at which a slice was loaded last.
--
-- Grain   one row
-- Reads   slices
SELECT MAX(loaded_at) AS data_through_at
FROM slices
