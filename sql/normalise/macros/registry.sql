-- registry: macros that say why a row of the registry is left out. Each gives NULL for what it cannot read.

-- Why a row of the registry is left out: the rule that it breaks, or that its id stood in a row before which breaks none.
CREATE OR REPLACE MACRO registry_reason(broken_rule, line, id, id_name) AS
    COALESCE(
        broken_rule,
        CASE WHEN line > MIN(line) FILTER (WHERE broken_rule IS NULL) OVER (PARTITION BY id) THEN 'duplicate ' || id_name END
    );
