"""The user agents and IP addresses of the software that opens mails and pages.

Every IP is in a reserved range: people have 198.18.0.0/15 (RFC 2544), machines have the documentation networks of
RFC 5737.
"""

from random import Random

# Apple's Mail Privacy Protection sends nothing more than this.
APPLE_PRIVACY = "Mozilla/5.0"
GMAIL_PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
# Gmail uses this old Edge when it fetches images before the mail is read.
GMAIL_PREFETCH = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
)
YAHOO_PROXY = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
OUTLOOK = (
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.17928; ms-office)"
)

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Mobile/15E148 Safari/604.1"
)
BROWSERS = (
    CHROME,
    IPHONE,
    IPHONE.replace("iPhone; CPU iPhone OS 18_6 like Mac OS X", "Macintosh; Intel Mac OS X 10_15_7"),
    CHROME.replace("Windows NT 10.0; Win64; x64", "Linux; Android 10; K"),
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    f"{CHROME} Edg/142.0.0.0",
    # A few real browsers send quotes or accents. nginx writes quotes and bytes above 0x7E as \xHH.
    'Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0 "Café kiosk"',
)
BROWSER_WEIGHTS = (34, 28, 10, 18, 5, 5, 0.3)

# The browsers inside the social networks' apps, and the crawlers that fetch a preview of a posted link.
IN_APP = {
    "linkedin": f"{IPHONE} [LinkedInApp]/9.31.2201",
    "facebook": f"{IPHONE} [FBAN/FBIOS;FBAV/530.0.0.48.72;FBBV/796010478;FBDV/iPhone15,2]",
}
PREVIEWS = {
    "linkedin": "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "facebook": "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "x": "Twitterbot/1.0",
    "whatsapp": "WhatsApp/2.23.20.0",
    "telegram": "TelegramBot (like TwitterBot)",
}
REFERERS = {
    "linkedin": "https://www.linkedin.com/",
    "facebook": "https://l.facebook.com/",
    "x": "https://t.co/",
}
SEARCH_BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
)
HEADLESS = CHROME.replace("Windows NT 10.0; Win64; x64", "X11; Linux x86_64").replace("Chrome/", "HeadlessChrome/")
MONITOR = "Uptime-Kuma/1.23.16"

# Link scanners of the receiving servers. The third names an ordinary browser; only its speed shows that it is a machine.
SCANNERS = {
    "barracuda": "Barracuda Sentinel (EE)",
    "proofpoint": "Mozilla/5.0 (compatible; Proofpoint URL Defense; Windows NT 10.0)",
    "plain": CHROME,
}


def person_ip(number: int) -> str:
    """Return the IP of a person's home, the same at every visit."""
    return f"198.{18 + number // 65536 % 2}.{number // 256 % 256}.{number % 256}"


def machine_ip(rng: Random, network: str = "203.0.113") -> str:
    """Return a random IP of a data centre."""
    return f"{network}.{rng.randrange(1, 255)}"


def browser(rng: Random) -> str:
    """Return the user agent of a random browser, by the weights above."""
    return rng.choices(BROWSERS, BROWSER_WEIGHTS)[0]
