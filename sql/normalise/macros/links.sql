-- links: macros that read urls. Each returns NULL for what it cannot read.

-- Decode the \xHH escapes of an access log's field. NUL is replaced, because databases reject it.
CREATE OR REPLACE MACRO log_text(word) AS
    CASE
        WHEN CONTAINS(word, '\x')
            THEN REPLACE(unquoted(REGEXP_REPLACE(REPLACE(word, '%', '%25'), '\\x([0-9A-Fa-f]{2})', '%\1', 'g')), CHR(0), CHR(65533))
        ELSE word
    END;

-- Decode %HH as UTF-8. nginx's and Apache's \xHH inside a query stand for the same bytes.
CREATE OR REPLACE MACRO percent_decoded(word) AS
    CASE
        WHEN CONTAINS(word, '%') OR CONTAINS(word, '\x')
            THEN unquoted(REGEXP_REPLACE(word, '\\x([0-9A-Fa-f]{2})', '%\1', 'g'))
        ELSE word
    END;

-- Return the first value of a key, in any case, in a query that begins with &. It is percent-decoded once; + stays +.
CREATE OR REPLACE MACRO query_value(query, key) AS
    percent_decoded(REGEXP_EXTRACT(query, '(?i)&' || key || '=([^&#]*)', 1));

-- Return the host of a url in lower case: NULL without a url, '' for a url without a host.
CREATE OR REPLACE MACRO host(link) AS
    REGEXP_EXTRACT(LOWER(link), '^[a-z][a-z0-9+.-]*://(?:[^/?#]*@)?(\[[^\]]*\]|[^/?#:@]+)', 1);

-- Return whether the path or query of a url mentions unsubscribing.
CREATE OR REPLACE MACRO is_opt_out(link) AS
    REGEXP_MATCHES(REGEXP_REPLACE(LOWER(link), '^[a-z][a-z0-9+.-]*://[^/?#]*|#.*$', '', 'g'), 'unsubscribe|opt-out|optout');

-- Return the link that a security product or network has wrapped: Outlook SafeLinks, Proofpoint URL Defense versions 3 and 2,
-- Barracuda, Cisco and Facebook. Opaque wrappings (Mimecast, lnkd.in) are kept.
CREATE OR REPLACE MACRO unwrapped(link) AS
    CASE
        WHEN link IS NULL OR NOT REGEXP_MATCHES(link, '(?i)safelinks|urldefense|cudasvc|secure-web\.cisco|l\.facebook') THEN link
        WHEN REGEXP_MATCHES(link, '(?i)^https?://[^/]+\.safelinks\.protection\.outlook\.com/')
            THEN COALESCE(NULLIF(query_value('&' || SPLIT_PART(link, '?', 2), 'url'), ''), link)
        WHEN REGEXP_MATCHES(link, '(?i)^https?://urldefense\.com/v3/__')
            THEN COALESCE(NULLIF(REGEXP_EXTRACT(link, '(?i)/v3/__(.*?)__;', 1), ''), link)
        WHEN REGEXP_MATCHES(link, '(?i)^https?://urldefense\.proofpoint\.com/v2/url')
            THEN COALESCE(NULLIF(percent_decoded(REPLACE(REPLACE(
                REGEXP_EXTRACT(link, '(?i)[?&]u=([^&#]*)', 1), '-', '%'), '_', '/')), ''), link)
        WHEN REGEXP_MATCHES(link, '(?i)^https?://linkprotect\.cudasvc\.com/url')
            THEN COALESCE(NULLIF(query_value('&' || SPLIT_PART(link, '?', 2), 'a'), ''), link)
        WHEN REGEXP_MATCHES(link, '(?i)^https?://secure-web\.cisco\.com/.*/https?%3A')
            THEN percent_decoded(REGEXP_EXTRACT(link, '(?i)/(https?%3A[^/?#]*)', 1))
        WHEN REGEXP_MATCHES(link, '(?i)^https?://l\.facebook\.com/l\.php')
            THEN COALESCE(NULLIF(query_value('&' || SPLIT_PART(link, '?', 2), 'u'), ''), link)
        ELSE link
    END;

-- Return the network whose share page a link opens, or NULL: 'email' for a mail without an addressee, 'linkedin_profile' for the
-- page of LinkedIn that adds a credential to a profile. A page with nothing to share, a profile, a post or a chat with a given
-- number is no share page. The first expression rules out ordinary links, so that they cost one search.
CREATE OR REPLACE MACRO link_channel(link) AS
    CASE
        WHEN link IS NULL OR NOT REGEXP_MATCHES(
            link,
            '(?i)^(?:https?://(?:[a-z-]+\.)?(?:linkedin|facebook|twitter|x|wa|whatsapp|t|telegram|reddit|pinterest)\.[a-z.]+[/?]|whatsapp:|tg:|mailto:)'
        ) THEN NULL
        WHEN REGEXP_MATCHES(link, '(?i)^https?://(?:(?:www|m|mobile|touch|[a-z]{2})\.)?linkedin\.com/profile/add/?(?:[?#]|$)')
            THEN 'linkedin_profile'
        WHEN REGEXP_MATCHES(
            link,
            '(?i)^https?://(?:(?:www|m|mobile|touch|[a-z]{2})\.)?linkedin\.com/(?:(?:sharing/share-offsite|shareArticle)/?\?(?:[^#]*[&;])?url=[^&#]|feed/?\?(?:[^#]*[&;])?shareActive=true)'
        ) THEN 'linkedin'
        WHEN REGEXP_MATCHES(
            link,
            '(?i)^https?://(?:(?:www|m|mobile|web|touch|[a-z]{2}-[a-z]{2})\.)?facebook\.com/(?:(?:(?:sharer/)?sharer?\.php|sharer)/?\?(?:[^#]*[&;])?u=[^&#]|(?:v[\d.]+/)?dialog/share/?\?(?:[^#]*[&;])?href=[^&#])'
        ) THEN 'facebook'
        WHEN REGEXP_MATCHES(
            link,
            '(?i)^https?://(?:(?:www|m|mobile)\.)?(?:twitter|x)\.com/(?:intent/(?:tweet|post)|share)/?\?(?:[^#]*[&;])?(?:text|url)=[^&#]'
        ) THEN 'x'
        WHEN REGEXP_MATCHES(
            link,
            '(?i)^(?:https?://(?:wa\.me/?|(?:(?:www|api|web)\.)?whatsapp\.com/send/?)|whatsapp://send/?)\?(?:[^#]*[&;])?text=[^&#]'
        ) AND NOT REGEXP_MATCHES(link, '(?i)^[^#]*[?&;]phone=[^&#]') THEN 'whatsapp'
        WHEN REGEXP_MATCHES(
            link, '(?i)^(?:https?://(?:www\.)?(?:t|telegram)\.me/share(?:/url)?/?|tg:(?://)?msg_url/?)\?(?:[^#]*[&;])?url=[^&#]'
        ) THEN 'telegram'
        WHEN REGEXP_MATCHES(link, '(?i)^mailto:\?(?:[^#]*[&;])?body=[^&#]') THEN 'email'
        WHEN REGEXP_MATCHES(
            link,
            '(?i)^https?://(?:(?:(?:www|m|old|new)\.)?reddit\.com/(?:r/\w+/)?submit/?|(?:(?:www|[a-z]{2})\.)?pinterest\.(?:com|com?\.[a-z]{2}|[a-z]{2})/pin/create/(?:button|link)/?)\?(?:[^#]*[&;])?url=[^&#]'
        ) THEN 'other'
    END;
