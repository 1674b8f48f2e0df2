-- registry: macros that say why a row of the registry is left out. Each returns NULL for what it cannot read.

-- Return the rule that a row breaks. A row also breaks a rule where an earlier row that breaks none has the same id.
CREATE OR REPLACE MACRO registry_reason(broken_rule, line, id, id_name) AS
    COALESCE(
        broken_rule,
        CASE WHEN line > MIN(line) FILTER (WHERE broken_rule IS NULL) OVER (PARTITION BY id) THEN 'duplicate ' || id_name END
    );
