"""Reactions to a delivered access mail: by people, by their mail programs, and by link scanners."""

from demo import agents
from demo.letter import DAY, HOUR, Letter, credential_url, heavy_tailed, unsubscribe_url

# The network of the image proxies of Apple, Gmail and Yahoo.
PROXIES = "198.51.100"

# Litmus, December 2021: 41 % of opens are Apple's privacy proxy, 30 % Gmail, 4 % Outlook, 2.5 % Yahoo
# (https://www.litmus.com/blog/email-client-market-share-december-2021). Here the mail program depends on the domain.
CLIENTS = {
    "freemail.example": {"gmail": 78, "apple_private": 20, "apple": 2},
    "postbox.example": {"apple_private": 82, "apple": 18},
    "webmail.example": {"yahoo": 90, "apple_private": 10},
}
OTHER_CLIENTS = {"outlook": 45, "apple_private": 35, "gmail": 20}

# 58 to 65 % of badge mails are opened (blog.issuebadge.com, badge earner behaviour, 2026), and 47 to 68 % of
# recipients visit their credential, 61 % in the middle (https://help.accredible.com/company-average-comparison).
# So nearly everybody who opens the mail also clicks. Some opens leave no event, so ENGAGED is above the open rate.
ENGAGED, CLICKED_WHEN_ENGAGED = 0.72, 0.85
# At Mailchimp (see `mailing`) 0.25 % unsubscribe.
UNSUBSCRIBED_BY_LINK, UNSUBSCRIBED_ONE_CLICK, COMPLAINED = 0.003, 0.0015, 0.0015


def read(letter: Letter, delivered_at: float) -> float | None:
    """Add a person's opens, click and objections; return when the person visits the credential (None: never)."""
    rng, recipient = letter.rng, letter.recipient
    clients = CLIENTS.get(recipient.person.domain, OTHER_CLIENTS)
    client = rng.choices(list(clients), list(clients.values()))[0]
    _open_by_machine(letter, client, delivered_at)
    if rng.random() > ENGAGED * recipient.certificate.appeal:
        return None
    opened_at = delivered_at + heavy_tailed(rng, 3 * HOUR, 1.9)
    _open(letter, client, opened_at)
    _object(letter, opened_at + 20)
    if rng.random() > CLICKED_WHEN_ENGAGED:
        return None
    clicked_at = opened_at + (heavy_tailed(rng, 40, 1) if rng.random() < 0.7 else heavy_tailed(rng, 12 * HOUR, 1.6))
    agent = agents.browser(rng)
    _click(letter, clicked_at, credential_url(recipient), 0, agents.person_ip(recipient.person.number), agent)
    if rng.random() < 0.12:
        _open(letter, client, clicked_at + heavy_tailed(rng, DAY, 1))
    return clicked_at


def _open_by_machine(letter: Letter, client: str, delivered_at: float) -> None:
    """Add the opens of machines.

    Apple's privacy proxy fetches most pixels, and Gmail fetches some, before or without a person's open.
    """
    rng = letter.rng
    if client == "apple_private" and rng.random() < 0.88:
        at = delivered_at + heavy_tailed(rng, 2 * HOUR, 1.2)
        _fetch(letter, at, agents.APPLE_PRIVACY, agents.machine_ip(rng, PROXIES), is_machine=True)
    if client == "gmail" and rng.random() < 0.07:
        _fetch(letter, delivered_at + rng.uniform(1, 20), agents.GMAIL_PREFETCH, agents.machine_ip(rng, PROXIES))


def _open(letter: Letter, client: str, at: float) -> None:
    """Add a person's open if it leaves an event. Apple's proxy hides it, and Outlook often blocks images."""
    rng = letter.rng
    shown = {
        "gmail": (0.97, agents.GMAIL_PROXY),
        "yahoo": (0.95, agents.YAHOO_PROXY),
        "outlook": (0.6, agents.OUTLOOK),
        "apple": (0.95, agents.IPHONE),
    }
    chance, agent = shown.get(client, (0.0, ""))
    if rng.random() < chance:
        is_proxied = client in ("gmail", "yahoo")
        ip = agents.machine_ip(rng, PROXIES) if is_proxied else agents.person_ip(letter.recipient.person.number)
        _fetch(letter, at, agent, ip)


def _fetch(letter: Letter, at: float, agent: str, ip: str, is_machine: bool = False) -> None:
    """Add an open, which is a request for the mail's pixel."""
    letter.add("open", at, useragent=agent, ip=ip, sg_content_type="html", sg_machine_open=is_machine)


def _object(letter: Letter, at: float) -> None:
    """Add, rarely, an unsubscribe by the link or by the mail program's button, or a report of spam."""
    rng = letter.rng
    ip, agent = agents.person_ip(letter.recipient.person.number), agents.browser(rng)
    if rng.random() < UNSUBSCRIBED_BY_LINK:
        _click(letter, at, unsubscribe_url(letter), 1, ip, agent)
        letter.add(
            "group_unsubscribe",
            at + 4,
            asm_group_id=14021,
            ip=ip,
            useragent=agent,
            url=unsubscribe_url(letter),
        )
    elif rng.random() < UNSUBSCRIBED_ONE_CLICK:
        letter.add("unsubscribe", at)
    elif rng.random() < COMPLAINED:
        letter.add("spamreport", at)


def scan(letter: Letter, at: float, agent: str) -> None:
    """Add the clicks of a link scanner, which follows every link within seconds of the delivery."""
    ip = agents.machine_ip(letter.rng)
    at += letter.rng.uniform(0.5, 4)
    for index, url in enumerate((credential_url(letter.recipient), unsubscribe_url(letter))):
        _click(letter, at + index * letter.rng.random(), url, index, ip, agent)


def _click(letter: Letter, at: float, url: str, index: int, ip: str, agent: str) -> None:
    letter.add("click", at, url=url, url_offset={"index": index, "type": "html"}, ip=ip, useragent=agent)
