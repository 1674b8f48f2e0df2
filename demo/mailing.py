"""The transport of one access mail to the mailbox: processed, deferred, delivered, bounced or dropped.

A rate that has a source names it. The others are assumptions, chosen so that every kind of event occurs.
"""

from random import Random
from typing import Any

from demo import agents, reading
from demo.letter import DAY, HOUR, Letter, heavy_tailed
from demo.plan import MISTYPED, SCANNERS_BY_DOMAIN
from demo.registry import Recipient, identifier

# Mailchimp counts 0.4 % hard and 0.6 % soft bounces over all its accounts, on lists that are mailed often
# (https://mailchimp.com/resources/email-marketing-benchmarks/, 2019). Addresses typed into a course form bounce
# more often, so these rates are higher. Mistyped domains are additional.
HARD, SOFT, BLOCKED, EXPIRED, DELAYED_BOUNCE = 0.011, 0.010, 0.006, 0.002, 0.003
DEFERRED_FIRST = 0.06

SUPPRESSING = {
    "bounce": "Bounced Address",
    "spamreport": "Spam Reporting Address",
    "unsubscribe": "Unsubscribed Address",
    "group_unsubscribe": "Unsubscribed Address",
}


def post(rng: Random, recipient: Recipient, suppressed: dict[str, tuple[float, str]]) -> tuple[Letter, float | None]:
    """Send the access mail to one recipient; return it, and when the recipient follows its link (None: never).

    `suppressed` is the provider's list of addresses to which it no longer sends. It is read and extended.
    """
    assert recipient.sent_at
    sent_at = recipient.sent_at.timestamp()
    # Some mails are sent again by hand in the provider's web interface, which sets no custom arguments.
    letter = Letter(rng, recipient, recipient.message_id, has_arguments=rng.random() > 0.015)
    address = recipient.person.email.lower()
    if rng.random() < 0.002:  # suppressed since earlier years
        suppressed.setdefault(address, (0, rng.choice(list(SUPPRESSING.values()))))
    since, reason = suppressed.get(address, (sent_at, ""))
    if since < sent_at:
        letter.add("dropped", sent_at, reason=reason, status="5.0.0")
        return letter, None
    letter.add("processed", sent_at)
    followed_at = _transport(letter, sent_at + 1)
    for at, event in letter.events:
        if _is_suppressing(event):
            suppressed.setdefault(address, (at, SUPPRESSING[event["event"]]))
    return letter, followed_at


def _is_suppressing(event: dict[str, Any]) -> bool:
    """Tell whether an event puts the address on the provider's list. Blocks and soft bounces do not."""
    is_passing = event.get("type") in ("blocked", "expired") or event.get("status", "").startswith("4")
    return event["event"] in SUPPRESSING and not is_passing


def _transport(letter: Letter, at: float) -> float | None:
    rng, domain = letter.rng, letter.recipient.person.domain
    if rng.random() < DEFERRED_FIRST:
        at = _defer(letter, at, rng.choices((1, 2, 3, 5), (6, 3, 2, 1))[0])
    if domain in MISTYPED:
        _bounce(letter, at, "invalid" if domain != "yaho.com" else "expired")
        return None
    kind = rng.choices(
        ("invalid", "full", "blocked", "expired", ""),
        (HARD, SOFT, BLOCKED, EXPIRED, 1 - HARD - SOFT - BLOCKED - EXPIRED),
    )[0]
    if not kind:
        return _delivered(letter, at + rng.uniform(0.5, 6))
    _bounce(letter, at, kind)
    if kind == "full" and rng.random() < 0.4:
        return _send_again(letter, at + rng.uniform(1, 5) * DAY)
    return None


def _defer(letter: Letter, at: float, attempts: int) -> float:
    """Defer the mail by greylisting or throttling, and return the time of the next attempt. The wait doubles."""
    for attempt in range(1, attempts + 1):
        response = letter.rng.choice((
            "451 4.7.1 Greylisted, please try again in 300 seconds",
            "421 4.7.0 An unusual rate of mail comes from your IP address, temporarily rate limited",
            "450 4.2.1 The recipient's inbox is receiving mail too quickly",
        ))  # fmt: skip
        letter.add("deferred", at, response=response, attempt=str(attempt))
        at += 300 * 2**attempt
    return at


def _bounce(letter: Letter, at: float, kind: str) -> None:
    """Bounce the mail with a refusal in the words that receiving servers use."""
    email, domain = letter.recipient.person.email, letter.recipient.person.domain
    if kind == "expired":
        at = _defer(letter, at, 7) + 2 * DAY
    kinds = {
        "invalid": ("bounce", "5.1.1", "Invalid Address",
                    f"550 5.1.1 <{email}>: Recipient address rejected: no mailbox here by that name"),
        "full": ("bounce", "4.2.2", "Mailbox Unavailable",
                 f"452 4.2.2 The mailbox of {email} is full, please ask its owner to clear it"),
        "blocked": ("blocked", "5.7.1", "Content",
                    "550 5.7.1 Message rejected due to the content policy of this organisation"),
        "expired": ("expired", "4.4.1", "Technical",
                    f"unable to get mx info: failed to get IPs from any MX record of {domain}"),
    }  # fmt: skip
    category, status, classification, reason = kinds[kind]
    letter.add("bounce", at, type=category, status=status, bounce_classification=classification,
               reason=reason, ip=agents.machine_ip(letter.rng, "192.0.2"), tls=1)  # fmt: skip


def _send_again(first: Letter, at: float) -> float | None:
    """Send the mail again, as support does after a full mailbox: another message id, the same recipient."""
    again = Letter(first.rng, first.recipient, identifier(first.rng, 22))
    again.add("processed", at)
    followed_at = _delivered(again, at + 2)
    first.events += again.events
    return followed_at


def _delivered(letter: Letter, at: float) -> float | None:
    rng = letter.rng
    response = f"250 2.0.0 OK {int(at)} {identifier(rng, 16).lower()} - esmtp"
    letter.add("delivered", at, response=response, ip=agents.machine_ip(rng, "192.0.2"), tls=1)
    if rng.random() < DELAYED_BOUNCE:
        _bounce_late(letter, at + heavy_tailed(rng, 6 * HOUR, 1))
        return None
    scanner = SCANNERS_BY_DOMAIN.get(letter.recipient.person.domain)
    if scanner and rng.random() < 0.85:
        reading.scan(letter, at, agents.SCANNERS[scanner])
    return reading.read(letter, at)


def _bounce_late(letter: Letter, at: float) -> None:
    """Bounce after the message was accepted. Such a bounce arrives as a separate mail and has no message id."""
    _bounce(letter, at, "invalid")
    _, event = letter.events[-1]
    del event["sg_message_id"], event["smtp-id"]
    event |= {
        "recipient_id": letter.recipient.recipient_id,
        "certificate_id": letter.recipient.certificate.certificate_id,
    }
