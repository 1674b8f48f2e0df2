-- agents: macros that distinguish machines from people by the user agent. Each returns NULL for what it cannot read.

-- Return whether the agent is an image proxy that acts for a person: Gmail's and Yahoo's fetch when somebody opens.
CREATE OR REPLACE MACRO is_people_proxy(agent) AS
    CONTAINS(agent, 'GoogleImageProxy') OR CONTAINS(agent, 'YahooMailProxy');

-- Return the rule by which a user agent is a machine's, or NULL. Apple's Mail Privacy Protection sends the bare Mozilla/5.0
-- when it fetches an open. The agent of Gmail's prefetch ends in a combination that no browser has.
CREATE OR REPLACE MACRO machine_agent(agent, event_type) AS
    CASE
        WHEN agent IS NULL OR is_people_proxy(agent) THEN NULL
        WHEN event_type = 'opened' AND agent = 'Mozilla/5.0' THEN 'proxy_ua'
        WHEN ENDS_WITH(agent, 'Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0') THEN 'proxy_ua'
        WHEN REGEXP_MATCHES(
            agent,
            '(?i)barracuda|proofpoint|mimecast|ciscosecureemail|ironport|trend ?micro|tmes|sophos|fortinet|fortimail|bitdefender|zmeu|symantec|messagelabs|forcepoint|safelinks|urldefense'
        ) THEN 'scanner_ua'
        -- One of the library's patterns takes time that grows with the square of a run of letters.
        WHEN crawler(LEFT(agent, 512)) THEN 'crawler_ua'
    END;
