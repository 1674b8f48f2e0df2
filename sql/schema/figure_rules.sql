-- figure_rules: the rules by which the stored figures were computed.
--
-- Grain   one row, or none before the first refresh
CREATE TABLE IF NOT EXISTS figure_rules (
    rules VARCHAR NOT NULL  -- the catalogue's version and the settings that figures depend on, as JSON; then a hash of the queries
)
