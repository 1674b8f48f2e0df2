"""The last stage: which reports are due, and each of them handed to the mail server once.

``due`` only reads. ``record`` writes what will not be sent (baselines, superseded periods) and comes before
``send``, so that a run killed anywhere in between finds the same latest period due again. ``send`` claims the
period in the ledger before it speaks to the server; what was claimed and never completed waits for a person.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

import tenacity

from etl import periods, settings
from etl.deliver.smtp import MailServer
from etl.errors import (
    ConfigurationError,
    DeferredDelivery,
    DoubtfulDelivery,
    RefusedDelivery,
    UnusableServer,
)
from etl.figures import ListedSubscription
from etl.periods import Period
from etl.state import Delivery, State

PAUSES = (2.0, 10.0, 30.0)
"""Seconds between the attempts of one run; a server that is down for longer is the next run's."""


@dataclass(frozen=True)
class Due:
    """What is to be done about one subscription's period.

    ``send`` it (and record the older ``superseded`` ones), record it as ``baseline``, or ``hold`` it back,
    because its grace time is over and the data are not whole.
    """

    subscription: ListedSubscription
    period: Period
    action: Literal["send", "hold", "baseline"]
    superseded: tuple[Period, ...] = ()


def due(
    subscriptions: Iterable[ListedSubscription],
    state: State,
    whole_through: date | None,
    now: datetime,
    mail: settings.Mail,
) -> list[Due]:
    """What is due at an aware instant, by the product page's "When a report is due". Writes nothing.

    ``subscriptions`` are rows of the registry's table. A report goes out at ``mail.send_hour`` o'clock local
    time or later in the day, a late one too: nobody is mailed at night because data were repaired at night.
    """
    newest, unsubscribed = state.newest(), state.unsubscribed()
    whole_until = None if whole_through is None else periods.period_end(whole_through)
    found: list[Due] = []
    for subscription in subscriptions:
        name = subscription["subscription_id"]
        if not subscription["is_paused"] and name not in unsubscribed:
            found += _due(subscription, newest.get(name), whole_until, now, mail)
    return found


def record(dues: Iterable[Due], state: State, at: datetime) -> None:
    """Writes the baselines and the superseded periods into the ledger; called before anything is sent."""
    for each in dues:
        name = each.subscription["subscription_id"]
        if each.action == "baseline":
            state.record(name, [each.period], "baseline", at)
        state.record(name, each.superseded, "superseded", at)


def send(
    message: bytes,
    *,
    state: State,
    subscription_id: str,
    period: Period,
    figures: str,
    mail: settings.Mail,
    lookup: settings.SecretLookup,
    clock: Callable[[], datetime],
    resend: bool = False,
    pauses: tuple[float, ...] = PAUSES,
) -> bool:
    """Send a landed ``message.eml`` once; True when it left now, False when it left before.

    Whether it may be mailed at all is the caller's decision. A temporary failure is tried again after each of ``pauses``
    (at least one) under the same Message-ID, then left to the next run. DeliveryErrors say the rest: deferred, refused
    for good, in doubt. ``figures`` is the JSON text that the ledger keeps. ``resend`` sends what was sent, refused or in
    doubt once more, under a new Message-ID.
    """
    what = f"the report {subscription_id} {period.name}"
    # Errors in these two come before the claim.
    parsed, server = _parse(message), MailServer.configured(mail, lookup)

    former = state.delivery(subscription_id, period.name) if resend else None
    takes_over = former.message_id if former else None

    def attempt() -> bool:
        now, fresh = clock(), _fresh_message_id(parsed)
        message_id = state.claim(
            subscription_id, period, message_id=fresh, figures=figures, at=now, takes_over=takes_over
        )
        if message_id is None:
            return _left_before(what, state.delivery(subscription_id, period.name))
        status, error = _outcome(server, _stamp(parsed, message_id, now), what)
        reason = error.reason if error else None
        state.finish(subscription_id, period, status, message_id=message_id, at=clock(), error=reason)
        if error:
            raise error
        return True

    return _with_pauses(attempt, pauses)


def send_test(
    message: bytes,
    address: str,
    *,
    mail: settings.Mail,
    lookup: settings.SecretLookup,
    clock: Callable[[], datetime],
) -> None:
    """Sends a landed message to one address alone, marked as a test, past the ledger; mail may be off."""
    parsed = _parse(message)
    for header in ("To", "List-Unsubscribe", "List-Unsubscribe-Post"):
        del parsed[header]
    parsed["To"] = "" if "\n" in address or "\r" in address else address
    if [each.addr_spec for each in parsed["To"].addresses if each.domain] != [address]:
        raise ConfigurationError("a test goes to exactly one address; write --test-to name@example.com")
    parsed.replace_header("Subject", f"[Test] {parsed['Subject']}")
    stamped = _stamp(parsed, _fresh_message_id(parsed), clock())
    MailServer.configured(mail, lookup).transmit(stamped, "the test")


def probe(mail: settings.Mail, lookup: settings.SecretLookup) -> str:
    """That the mail server lets us in, in words; nothing is asked of it while mail is off. UnusableServer says why not."""
    server = MailServer.configured(mail, lookup)
    if not mail.enabled:
        return "is switched off; nothing is sent"
    server.greet()
    return "the server lets us in"


def unsubscribe_token(subscription_id: str, key: str) -> str:
    """What stands in a report's unsubscribe link: the subscription's id and its keyed signature, URL-safe."""
    signature = hmac.digest(key.encode(), b"unsubscribe:" + subscription_id.encode(), hashlib.sha256)
    return f"{_base64(subscription_id.encode())}.{_base64(signature)}"


def unsubscribed_by(token: str, key: str) -> str | None:
    """The id of the subscription that a token ends, or None where it was not made with this key."""
    try:
        given = token.encode()
        named = base64.urlsafe_b64decode(token.partition(".")[0] + "==").decode()
    except ValueError:
        return None
    return named if hmac.compare_digest(given, unsubscribe_token(named, key).encode()) else None


def _due(
    subscription: ListedSubscription,
    newest: Delivery | None,
    whole_until: datetime | None,
    now: datetime,
    mail: settings.Mail,
) -> Iterator[Due]:
    timezone = subscription["timezone"]
    latest = periods.latest_ended(subscription["frequency"], timezone, now)
    if newest is None:
        if mail.enabled:
            yield Due(subscription, latest, "baseline")
        return
    ended = list(_ended_since(newest, latest))
    whole = [period for period in ended if whole_until and period.end_at <= whole_until]
    overdue = now - timedelta(hours=mail.grace_hours)
    held = [period for period in ended if period not in whole and period.end_at <= overdue]
    if held:
        yield Due(subscription, held[0], "hold")
    # The hour is read off the local clock, so it holds on the days that have 23 or 25 of them.
    if whole and now.astimezone(periods.zone(timezone)).hour >= mail.send_hour:
        yield Due(subscription, whole[0], "send", tuple(whole[1:]))


def _ended_since(newest: Delivery, latest: Period) -> Iterator[Period]:
    """The periods from the latest back to the ledger's newest.

    A subscription that moved west has the newest one end again, later: by its name it is still the same.
    """
    while latest.end_at > newest.period_end and latest.name != newest.period:
        yield latest
        latest = latest.previous


def _left_before(what: str, delivery: Delivery | None) -> bool:
    """False for a period that was sent; an error where it failed for good or is in another's hands."""
    if delivery and delivery.status == "failed":
        raise RefusedDelivery(what, delivery.error or "no reason kept")
    if delivery and delivery.status == "claimed":
        raise DoubtfulDelivery(what, delivery.message_id or "")
    return False


def _outcome(
    server: MailServer, message: EmailMessage, what: str
) -> tuple[Literal["sent", "deferred", "failed"], DeferredDelivery | UnusableServer | RefusedDelivery | None]:
    """How the ledger records an attempt; a DoubtfulDelivery goes past it, so that the claim stays."""
    try:
        server.transmit(message, what)
    except (DeferredDelivery, UnusableServer) as error:
        return "deferred", error
    except RefusedDelivery as error:
        return "failed", error
    return "sent", None


def _with_pauses(attempt: Callable[[], bool], pauses: tuple[float, ...]) -> bool:
    # Each attempt claims anew: in a pause the period is deferred, and a run killed there leaves no doubt.
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(DeferredDelivery),
        wait=tenacity.wait_chain(*map(tenacity.wait_fixed, pauses)),
        stop=tenacity.stop_after_attempt(len(pauses) + 1),
        reraise=True,
    )
    return retrying(attempt)


def _parse(message: bytes) -> EmailMessage:
    parsed = message_from_bytes(message, policy=policy.SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def _fresh_message_id(message: EmailMessage) -> str:
    return f"<{uuid.uuid4().hex}@{message['From'].addresses[0].domain}>"


def _stamp(message: EmailMessage, message_id: str, at: datetime) -> EmailMessage:
    del message["Message-ID"], message["Date"]
    message["Message-ID"], message["Date"] = message_id, format_datetime(at)
    return message


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
