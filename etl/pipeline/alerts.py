"""Alert the data engineer to what needs a person: once for each cause, and once when it is over."""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from etl import deliver
from etl.errors import AnalyticsError
from etl.pipeline.context import Context, now_utc
from etl.pipeline.status import Status, Trouble

_OF_AIRFLOW = "Airflow: "
"""Begins each cause that is not seen in the state of the nights, as a red task."""

SHOWN = 20
"""How many causes that are over a mail names."""

_log = logging.getLogger(__name__)


def alert(context: Context, status: Status, now: datetime, link: str | None = None) -> bool:
    """Mail what is new and what is over since the last alert; return whether a mail was sent.

    ``link`` leads to the log of the run that found it. A late slice that has failed since is new again, with its reason.
    Nothing is sent where ``[alerts]`` names nobody, or where nothing changed. A cause is recorded after the alert has left,
    so a failure of the mail server is a warning, and the next night alerts to it again.
    """
    known = {cause for cause in context.state.alerted() if not cause.startswith(_OF_AIRFLOW)}
    causes = {cause for trouble in status["troubles"] for cause in trouble["causes"]}
    new = [trouble for trouble in status["troubles"] if not known.issuperset(trouble["causes"])]
    over = known - causes
    ended = sorted(cause for cause in over if f"failed {cause}" not in causes)
    if not (new or ended):
        return False
    still = [trouble for trouble in status["troubles"] if trouble not in new]
    if not _has_left(context, _subject(new, ended, still), _text(status, new, ended, still, link)):
        return False
    context.state.record_alerts(causes, over, now)
    return True


def alert_red(context: Context, name: str, reason: str, cure: str, now: datetime) -> bool:
    """Mail that a task of Airflow is red, unless that was mailed before; return whether a mail was sent."""
    cause = f"{_OF_AIRFLOW}{name}"
    if cause in context.state.alerted():
        return False
    if not _has_left(context, f"1 new: {name}: {reason}", _section("Needs a person", [f"{name}: {reason}\n  {cure}"])):
        return False
    context.state.record_alerts([cause], [], now)
    return True


def alert_green(context: Context, name: str, now: datetime) -> bool:
    """Mail that a red task has succeeded, if ``alert_red`` mailed of it; return whether a mail was sent."""
    cause = f"{_OF_AIRFLOW}{name}"
    if cause not in context.state.alerted() or not _has_left(context, f"over: {name}", _section("Over", [name])):
        return False
    context.state.record_alerts([], [cause], now)
    return True


def _has_left(context: Context, subject: str, text: str) -> bool:
    """Send an alert by mail and through the connection, as configured; return whether it has left by one of them.

    What cannot be sent is a warning.
    """
    sent = False
    for send in _ways(context):
        try:
            send(f"[Certificate analytics] {subject}"[:150], text.rstrip("\n") + "\n")
            sent = True
        except AnalyticsError as error:
            _log.warning("the alert could not be sent: %s", error)
    return sent


def _ways(context: Context) -> list[Callable[[str, str], None]]:
    """Return what sends a subject and a text: to the address of the alerts, and through their connection."""
    alerts, ways = context.settings.alerts, list[Callable[[str, str], None]]()
    if alerts.mail:
        server = context.settings.mail
        ways.append(
            partial(deliver.send_notice, address=alerts.mail, mail=server, lookup=context.lookup, clock=now_utc)
        )
    if alerts.connection and context.notify:
        ways.append(partial(context.notify, alerts.connection))
    return ways


def _subject(new: list[Trouble], ended: list[str], still: list[Trouble]) -> str:
    """Return the subject: the first of what is new, or of what is over with the number of what is still open."""
    if new:
        return f"{len(new)} new: {new[0]['what']}"
    more = f" and {len(ended) - 1} more" if len(ended) > 1 else ""
    return f"over: {ended[0]}{more}{f'; {len(still)} still open' if still else ''}"


def _text(status: Status, new: list[Trouble], ended: list[str], still: list[Trouble], link: str | None) -> str:
    """Return the mail: what is new, what is over, what is still open, and how far the data are whole."""
    more = [f"and {len(ended) - SHOWN} more"] if len(ended) > SHOWN else []
    parts = [
        _section("Needs a person", [f"{each['what']}\n  {each['cure']}" for each in new]),
        _section("Over", ended[:SHOWN] + more),
        _section("Still open", [f"{each['what']}\n  {each['cure']}" for each in still]),
        f"Data are whole through {status['whole_through'] or 'no day yet'}.",
        f"The log: {link}" if link else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}:", *(f"- {line}" for line in lines)]) if lines else ""
