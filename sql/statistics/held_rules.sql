-- held_rules: the rules by which the stored figures were computed.
--
-- Grain   one row, or none before the first refresh
-- Reads   figure_rules
SELECT rules
FROM figure_rules
