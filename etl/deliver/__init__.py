"""The stage deliver: find the reports that are due, and hand each one to the mail server once.

``due`` only reads. ``record`` writes the periods that will not be sent (baselines and superseded ones). It runs before
``send``, so that after a crash at any point the same latest period is due again. ``send`` claims the period in the
ledger before it contacts the server. If a claim is never completed, a person decides.
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

from etl import mailbox, periods, settings
from etl.deliver.smtp import ADDRESSED, LONGEST, MailServer
from etl.errors import (
    ConfigurationError,
    DeferredDelivery,
    DeliveryInProgress,
    DoubtfulDelivery,
    RefusedDelivery,
    UnusableServer,
)
from etl.figures import ListedSubscription
from etl.periods import Period
from etl.state import Delivery, Refusal, State

PAUSES = (2.0, 10.0, 30.0)
"""Seconds between the attempts of one run. If the server is down for longer, the next run tries again."""

LONGEST_ATTEMPT = LONGEST + timedelta(seconds=sum(PAUSES))
"""A claim that is younger than this may be at work. The pauses leave room for clocks that differ, and for a slow state."""


@dataclass(frozen=True)
class Due:
    """The action that is due for one subscription's period.

    ``send`` it and record the older ``superseded`` ones; or record it as ``baseline``; or ``hold`` it back,
    because its grace time is over and its data are not whole; or send nothing, because the address was ``refused`` for good.
    """

    subscription: ListedSubscription
    period: Period
    action: Literal["send", "hold", "baseline", "refused"]
    superseded: tuple[Period, ...] = ()
    refusal: Refusal | None = None


def due(
    subscriptions: Iterable[ListedSubscription],
    state: State,
    whole_through: date | None,
    now: datetime,
    mail: settings.Mail,
    hash_key: str = "",
) -> list[Due]:
    """Return what is due at an aware instant. Write nothing. docs/operations.md has the rules: "Which report is due".

    ``subscriptions`` are rows of the registry's table. A report is sent at ``mail.send_hour`` o'clock local time or
    later on that day. This holds for a late report too: if data are repaired at night, the mail waits for the hour.
    ``hash_key`` keys the hashes of the addresses that were refused for good.
    """
    newest, unsubscribed, refused = state.newest(), state.unsubscribed(), state.refused_addresses()
    whole_until = None if whole_through is None else periods.period_end(whole_through)
    found: list[Due] = []
    for subscription in subscriptions:
        name = subscription["subscription_id"]
        if not subscription["is_paused"] and name not in unsubscribed:
            refusal = refused.get(address_key(subscription["email"], hash_key))
            found += _due(subscription, newest.get(name), refusal, whole_until, now, mail)
    return found


def record(dues: Iterable[Due], state: State, at: datetime) -> None:
    """Write the baselines and the superseded periods into the ledger. Call this before anything is sent."""
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
    sent_status: Literal["sent", "quiet"] = "sent",
    pauses: tuple[float, ...] = PAUSES,
) -> bool:
    """Send a landed ``message.eml`` once. Return True if it was sent now, False if it had been sent before.

    The caller decides whether it may be mailed at all. A temporary failure is tried again after each of ``pauses``
    (at least one) under the same Message-ID, and then left to the next run. A DeliveryError reports any other outcome:
    deferred, refused for good, in doubt, or at work in another run. ``figures`` is the JSON text that the ledger keeps.
    With ``resend``, a message that was sent, refused or in doubt is sent once more, under a new Message-ID.
    ``sent_status`` is the ledger's word for a message that was sent: ``quiet`` for a short one that has no figures of its own.
    """
    what = f"the report {subscription_id} {period.name}"
    # These come before the claim, so that an error in them leaves no claim behind.
    parsed, server = _parse(message), MailServer.configured(mail, lookup)

    former = state.delivery(subscription_id, period.name) if resend else None
    takes_over = former.message_id if former else None

    def attempt() -> bool:
        now, fresh = clock(), _fresh_message_id(parsed)
        message_id = state.claim(
            subscription_id,
            period,
            message_id=fresh,
            figures=figures,
            at=now,
            takes_over=takes_over,
            killed_before=now - LONGEST_ATTEMPT,
        )
        if message_id is None:
            return _sent_before(what, state.delivery(subscription_id, period.name), now)
        status, error = _IN_DOUBT
        try:
            status, error = _outcome(server, _stamp(parsed, message_id, now), what)
            status = sent_status if status == "sent" else status
        finally:  # whatever ends the attempt, the claim must not look as if it were still at work
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
    """Send a landed message to a single address, marked as a test.

    The ledger is neither read nor written, and mail may be switched off. Raise a ConfigurationError unless ``address``
    is exactly one address.
    """
    parsed = _parse(message)
    for header in ("To", "List-Unsubscribe", "List-Unsubscribe-Post"):
        del parsed[header]
    try:
        parsed["To"] = mailbox.parse_address(address)
    except ValueError:
        raise ConfigurationError("a test goes to exactly one address; write --test-to name@example.com") from None
    parsed.replace_header("Subject", f"[Test] {parsed['Subject']}")
    stamped = _stamp(parsed, _fresh_message_id(parsed), clock())
    MailServer.configured(mail, lookup).transmit(stamped, "the test")


def send_notice(
    subject: str,
    text: str,
    address: str,
    *,
    mail: settings.Mail,
    lookup: settings.SecretLookup,
    clock: Callable[[], datetime],
) -> None:
    """Send a plain text to the data engineer. The ledger is neither read nor written, and mail may be switched off."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"] = mailbox.parse(mail.sender), mailbox.parse(address)
    message["Subject"], message["Auto-Submitted"] = subject, "auto-generated"
    message.set_content(text)
    stamped = _stamp(message, _fresh_message_id(message), clock())
    MailServer.configured(mail, lookup).transmit(stamped, "the alert")


def probe(mail: settings.Mail, lookup: settings.SecretLookup) -> str:
    """Check that the mail server accepts our login, and return the result in words.

    Raise UnusableServer if it refuses us or does not answer. While mail is switched off that is no error, only part of the
    result, and the server is contacted only if it is configured.
    """
    server = MailServer.configured(mail, lookup)
    if not mail.enabled and "url" not in mail.model_fields_set:
        return "is switched off; nothing is sent"
    ours = [mailbox.parse(text).username for text in (mail.sender, mail.reply_to) if text]
    try:
        server.greet(ours)
    except UnusableServer as error:
        if mail.enabled:
            raise
        return f"is switched off, so nothing is sent; {error}"
    return (
        "the server lets us in" if mail.enabled else "the server lets us in; mail is switched off, so nothing is sent"
    )


def address_key(address: str, key: str) -> str:
    """Return the keyed hash by which the state knows a subscriber's address, whatever its case."""
    return hmac.digest(key.encode(), b"address:" + address.strip().casefold().encode(), hashlib.sha256).hex()


def unsubscribe_token(subscription_id: str, key: str) -> str:
    """Return the token of a report's unsubscribe link: the subscription's id and its keyed signature, URL-safe."""
    signature = hmac.digest(key.encode(), b"unsubscribe:" + subscription_id.encode(), hashlib.sha256)
    return f"{_base64(subscription_id.encode())}.{_base64(signature)}"


def unsubscribed_by(token: str, key: str) -> str | None:
    """Return the id of the subscription that a token unsubscribes, or None if it was not made with this key."""
    try:
        given = token.encode()
        named = base64.urlsafe_b64decode(token.partition(".")[0] + "==").decode()
    except ValueError:
        return None
    return named if hmac.compare_digest(given, unsubscribe_token(named, key).encode()) else None


def _due(
    subscription: ListedSubscription,
    newest: Delivery | None,
    refusal: Refusal | None,
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
    if refusal:
        yield Due(subscription, latest, "refused", refusal=refusal)
        return
    ended = list(_ended_since(newest, latest))
    whole = [period for period in ended if whole_until and period.end_at <= whole_until]
    overdue = now - timedelta(hours=mail.grace_hours)
    held = [period for period in ended if period not in whole and period.end_at <= overdue]
    if held:
        yield Due(subscription, held[0], "hold")
    # The hour is that of the local clock, so it is right on days with 23 or 25 hours too.
    if whole and now.astimezone(periods.zone(timezone)).hour >= mail.send_hour:
        yield Due(subscription, whole[0], "send", tuple(whole[1:]))


def _ended_since(newest: Delivery, latest: Period) -> Iterator[Period]:
    """Yield the periods from the latest back to the ledger's newest, without that one.

    If a subscription moves west, its newest period ends again, at a later instant. The name shows that it is the same.
    """
    while latest.end_at > newest.period_end and latest.name != newest.period:
        yield latest
        latest = latest.previous


def _sent_before(what: str, delivery: Delivery | None, now: datetime) -> bool:
    """Return False for a period that was sent; raise if it failed for good, is in doubt, or is at work in another run."""
    if delivery and delivery.status == "failed":
        raise RefusedDelivery(what, delivery.error or "no reason kept")
    if delivery and delivery.status not in ("sent", "quiet"):
        since = delivery.claimed_at or now
        if delivery.status == "claimed" and (delivery.completed_at or since < now - LONGEST_ATTEMPT):
            raise DoubtfulDelivery(what, delivery.message_id or "")
        raise DeliveryInProgress(what, f"{since:%H:%M} UTC", f"{since + LONGEST_ATTEMPT:%H:%M} UTC")
    return False


_Outcome = tuple[
    Literal["claimed", "sent", "quiet", "deferred", "failed"],
    DeferredDelivery | UnusableServer | RefusedDelivery | None,
]
_IN_DOUBT: _Outcome = ("claimed", None)


def _outcome(server: MailServer, message: EmailMessage, what: str) -> _Outcome:
    """Send the message, and return the status for the ledger and the error. Let a DoubtfulDelivery pass: the claim stays."""
    try:
        server.transmit(message, what)
    except (DeferredDelivery, UnusableServer) as error:
        return "deferred", error
    except RefusedDelivery as error:
        return "failed", error
    return "sent", None


def _with_pauses(attempt: Callable[[], bool], pauses: tuple[float, ...]) -> bool:
    # Each attempt claims anew. During a pause the period is deferred, so a run that is killed then leaves no doubt.
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
    for name in ADDRESSED:
        if name in parsed and not all(each.addr_spec.isascii() for each in parsed[name].addresses):
            parsed.replace_header(name, str(parsed[name]))  # bytes beyond ASCII become the letters that they are
    return parsed


def _fresh_message_id(message: EmailMessage) -> str:
    return f"<{uuid.uuid4().hex}@{message['From'].addresses[0].domain}>"


def _stamp(message: EmailMessage, message_id: str, at: datetime) -> EmailMessage:
    del message["Message-ID"], message["Date"]
    message["Message-ID"], message["Date"] = message_id, format_datetime(at)
    return message


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
