-- figure_rules: the rules by which the stored figures are computed from now on.
--
-- Grain   one row
-- Params  rules VARCHAR
SELECT CAST(:rules AS VARCHAR) AS rules
