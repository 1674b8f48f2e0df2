-- last_load: when a slice was loaded last, which says nothing of how far the data reach.
--
-- Grain   one row
-- Reads   slices
SELECT MAX(loaded_at) AS last_loaded_at
FROM slices
