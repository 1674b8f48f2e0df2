"""The other requests that a public web server logs: crawlers, monitors, attackers, junk, and broken pixels."""

from random import Random

from demo import agents
from demo.letter import DAY
from demo.registry import Recipient, identifier
from demo.visiting import Request, line

OTHER_PAGES = (
    ("GET /robots.txt HTTP/1.1", 200, agents.SEARCH_BOTS),
    ("GET /favicon.ico HTTP/2.0", 200, agents.BROWSERS[:3]),
    ("GET / HTTP/2.0", 200, agents.BROWSERS[:3]),
    ("GET /wp-login.php HTTP/1.1", 404, agents.BROWSERS[:1]),
    ("GET /.env HTTP/1.1", 404, ("curl/8.5.0", "python-requests/2.32.3")),
    ("POST /api/verify HTTP/2.0", 200, agents.BROWSERS[:3]),
    ("OPTIONS /api/verify HTTP/2.0", 204, agents.BROWSERS[:3]),
)
# Requests that are not HTTP: a TLS handshake, nothing at all, a probe of another protocol.
JUNK = (
    r"\x16\x03\x01\x00\xEE\x01\x00\x00\xEA\x03\x03\xC9v\x0B",
    "",
    r"\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00Cookie: mstshash=Administr",
)


def of_one_day(rng: Random, midnight: float, recipients: list[Recipient]) -> list[Request]:
    """Return a day of other traffic from 00:00 UTC on. Crawled and broken pixels have ids of the recipients."""
    requests = [_monitor(midnight + 600 * step) for step in range(144)]
    for _ in range(120):
        request, status, callers = rng.choice(OTHER_PAGES)
        requests.append(_at_random(rng, midnight, request, status, rng.choice(callers), size=612))
    requests += [_at_random(rng, midnight, rng.choice(JUNK), 400, "", size=150) for _ in range(rng.randrange(4, 12))]
    for recipient in rng.choices(recipients, k=3):
        requests += _crawled(rng, midnight, recipient)
    for request in rng.sample(_broken(rng, rng.choice(recipients)), 2):
        requests.append(_at_random(rng, midnight, request, 200, agents.browser(rng)))
    if rng.random() < 0.15:
        requests.append(_cut(rng, midnight))
    return requests


def _at_random(rng: Random, midnight: float, request: str, status: int, agent: str, size: int = 43) -> Request:
    return line(midnight + rng.randrange(DAY - 60), agents.machine_ip(rng), request, status, agent, size=size)


def _monitor(at: float) -> Request:
    return line(at + 7, "203.0.113.5", "HEAD / HTTP/1.1", 200, agents.MONITOR, size=0)


def _crawled(rng: Random, midnight: float, recipient: Recipient) -> list[Request]:
    """Return pixel requests that must not count as a person's view.

    One is of a search engine that runs the page, one only asks for the headers, and one was not answered (status 499).
    """
    pixel = f"/px.gif?e=view&c={recipient.certificate.certificate_id}&r={recipient.recipient_id}&n="
    targets = [pixel + identifier(rng, 12) for _ in range(3)]
    return [
        _at_random(rng, midnight, f"GET {targets[0]} HTTP/1.1", 200, agents.HEADLESS),
        _at_random(rng, midnight, f"HEAD {targets[1]} HTTP/1.1", 200, "curl/8.5.0", size=0),
        _at_random(rng, midnight, f"GET {targets[2]} HTTP/2.0", 499, agents.browser(rng), size=0),
    ]


def _broken(rng: Random, recipient: Recipient) -> list[str]:
    """Return pixel requests without a usable event. Each must become a reject with its reason."""
    certificate_id, recipient_id = recipient.certificate.certificate_id, recipient.recipient_id
    queries = (
        f"e=hover&c={certificate_id}&r={recipient_id}",
        f"e=view&n={identifier(rng, 12)}",
        f"e=claim&c={certificate_id}&r={'A' * 200}",
        f"e=download&c={certificate_id}&r={recipient_id}%00",
        f"c={certificate_id}&r={recipient_id}",
    )
    return [f"GET /px.gif?{query} HTTP/2.0" for query in queries]


def _cut(rng: Random, midnight: float) -> Request:
    """Return a line that ends in the middle, as if the disk had been full for a moment."""
    at, text = _at_random(rng, midnight, "GET / HTTP/2.0", 200, agents.CHROME)
    return at, text[:34]
