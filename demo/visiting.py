"""The requests to the Recipient View page: pages and tracking pixels of recipients, visitors and crawlers.

A request is a pair: its second (Unix time), and its line in nginx's `combined` format.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from demo import agents
from demo.letter import CREDENTIAL_URL, DAY, HOUR, credential_url, heavy_tailed
from demo.registry import Recipient, identifier

# By Accredible's averages by industry, 5 to 33 % of all recipients share, and 18 to 21 % in the middle
# (https://help.accredible.com/company-average-comparison). If half of them claim, two in five who claim also share.
# We know no source for downloads and additions to the profile, so those rates are assumptions.
CLAIMED, DOWNLOADED, SHARED, PROFILE = 0.88, 0.40, 0.37, 0.27
# The product description has the order LinkedIn, Facebook, Twitter; the figures are assumptions.
CHANNELS = {
    "linkedin": 62,
    "facebook": 14,
    "x": 8,
    "whatsapp": 8,
    "telegram": 2,
    "email": 2,
    "copy_link": 3,
    "other": 1,
}

Request = tuple[int, str]


def line(at: float, ip: str, request: str, status: int, agent: str, referer: str = "-", size: int = 43) -> Request:
    """Return one line of the access log, escaped as by nginx, with `-` for an empty agent."""
    stamp = datetime.fromtimestamp(int(at), UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    text = f'{ip} - - [{stamp}] "{request}" {status} {size} "{_escaped(referer)}" "{_escaped(agent or "-")}"'
    return int(at), text


def _escaped(text: str) -> str:
    if text.isascii() and '"' not in text and "\\" not in text:
        return text
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02X}" for byte in text.encode())


@dataclass
class Visit:
    """A visit to the page of one credential in one browser, and the requests that it makes."""

    rng: Random
    recipient: Recipient
    ip: str
    agent: str
    requests: list[Request] = field(default_factory=list)

    def page(self, at: float, referer: str = "-") -> None:
        """Request the page, its style sheet and, since a browser runs the page, the pixel of the view."""
        path = f"/{self.recipient.recipient_id}"
        self.requests.append(line(at, self.ip, f"GET {path} HTTP/2.0", 200, self.agent, referer, 18422))
        self.requests.append(
            line(at, self.ip, "GET /assets/view.css HTTP/2.0", 200, self.agent, CREDENTIAL_URL + path, 6120)
        )
        self.pixel(at + 1, "view")

    def pixel(self, at: float, action: str, channel: str = "") -> None:
        """Request a tracking pixel. One in eight is of an old page without a nonce, and one in fifty comes twice."""
        rng = self.rng
        query = f"e={action}&c={self.recipient.certificate.certificate_id}&r={self.recipient.recipient_id}"
        query += f"&ch={channel}" * bool(channel) + f"&n={identifier(rng, 12)}" * (rng.random() < 0.88)
        method = "POST" if rng.random() < 0.1 else "GET"
        status = rng.choices((200, 204, 304), (90, 8, 2))[0]
        request = f"{method} /px.gif?{query} HTTP/2.0"
        for repeat in range(1 + (rng.random() < 0.02)):
            self.requests.append(
                line(
                    at + repeat,
                    self.ip,
                    request,
                    status,
                    self.agent,
                    credential_url(self.recipient),
                    43 * (status == 200),
                )
            )


def visits(rng: Random, recipient: Recipient, arrived_at: float) -> list[Request]:
    """Return the requests after a recipient opens the page: claim, download, shares, and the visits that shares cause."""
    visit = Visit(rng, recipient, agents.person_ip(recipient.person.number), agents.browser(rng))
    visit.page(arrived_at + 1)
    if rng.random() > CLAIMED:
        return visit.requests
    claimed_at = arrived_at + heavy_tailed(rng, 80, 0.8)
    if rng.random() < 0.2:
        claimed_at = arrived_at + heavy_tailed(rng, 2 * DAY, 1.4)
        visit.page(claimed_at - 60)
    visit.pixel(claimed_at, "claim")
    return visit.requests + _use(visit, claimed_at)


def _use(visit: Visit, claimed_at: float) -> list[Request]:
    """Add the uses of a claimed credential: download, profile, shares. Return the visits that its shares cause."""
    rng, shared_visits = visit.rng, []
    appeal = visit.recipient.certificate.appeal
    if rng.random() < DOWNLOADED:
        visit.pixel(claimed_at + heavy_tailed(rng, 90, 1), "download")
    if rng.random() < PROFILE * appeal:
        visit.pixel(claimed_at + heavy_tailed(rng, 240, 1.2), "profile")
    if rng.random() < SHARED * appeal:
        for number in range(1 + (rng.random() < 0.18)):
            channel = rng.choices(list(CHANNELS), list(CHANNELS.values()))[0]
            shared_at = claimed_at + heavy_tailed(rng, 150, 1.1) + number * 30
            visit.pixel(shared_at, "share", _spelled(rng, channel))
            shared_visits += _shared_visits(rng, visit.recipient, channel, shared_at)
    if rng.random() < 0.25:
        visit.page(claimed_at + heavy_tailed(rng, 3 * DAY, 1))
    return shared_visits


def _spelled(rng: Random, channel: str) -> str:
    """Return a channel as a page spells it: older pages send twitter, and one button sends LinkedIn."""
    if channel == "x" and rng.random() < 0.3:
        return "twitter"
    return "LinkedIn" if channel == "linkedin" and rng.random() < 0.03 else channel


def _shared_visits(rng: Random, recipient: Recipient, channel: str, shared_at: float) -> list[Request]:
    """Return the visits that a share causes.

    The network's crawler comes within seconds and its members come over days. Rarely an employer verifies the credential.
    """
    requests: list[Request] = []
    if channel in agents.PREVIEWS and rng.random() < 0.8:
        requests += _preview(rng, recipient, agents.PREVIEWS[channel], shared_at + rng.uniform(4, 40))
    for _ in range(rng.choices((0, 1, 2, 5), (45, 30, 18, 7))[0]):
        number = rng.randrange(65536, 131072)
        agent = agents.IN_APP.get(channel) if rng.random() < 0.6 else None
        visitor = Visit(rng, recipient, agents.person_ip(number), agent or agents.browser(rng))
        at = shared_at + heavy_tailed(rng, 5 * HOUR, 1.5)
        visitor.page(at, agents.REFERERS.get(channel, "-"))
        if rng.random() < 0.15:
            visitor.pixel(at + heavy_tailed(rng, 30, 0.7), "verify")
        requests += visitor.requests
    return requests


def _preview(rng: Random, recipient: Recipient, agent: str, at: float) -> list[Request]:
    """Return a crawler's requests for the page and its picture. A few send HEAD first, and a few fetch the pixel too."""
    bot = Visit(rng, recipient, agents.machine_ip(rng), agent)
    path = f"/{recipient.recipient_id}"
    if rng.random() < 0.2:
        bot.requests.append(line(at - 1, bot.ip, f"HEAD {path} HTTP/1.1", 200, agent, size=0))
    bot.requests.append(line(at, bot.ip, f"GET {path} HTTP/1.1", 200, agent, size=18422))
    bot.requests.append(line(at + 1, bot.ip, f"GET {path}/card.png HTTP/1.1", 200, agent, size=90112))
    if rng.random() < 0.15:
        bot.pixel(at + 2, "view")
    return bot.requests


def scans(rng: Random, recipient: Recipient, clicks: list[dict[str, object]]) -> list[Request]:
    """Return the requests of link scanners, which load the clicked page in a browser and so fetch its pixel too."""
    requests: list[Request] = []
    for click in clicks:
        ip, agent = str(click["ip"]), str(click["useragent"])
        if not ip.startswith("203.0.113.") or "/unsubscribe/" in str(click["url"]):
            continue
        visit = Visit(rng, recipient, ip, agent)
        at = float(str(click["timestamp"]))
        if rng.random() < 0.3:
            visit.requests.append(line(at, ip, f"HEAD /{recipient.recipient_id} HTTP/1.1", 200, agent, size=0))
        visit.page(at)
        requests += visit.requests
    return requests
