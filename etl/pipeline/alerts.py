"""Tell the data engineer by mail what needs a person: once for each cause, and once when it is over."""

import logging
from datetime import datetime

from etl import deliver
from etl.errors import AnalyticsError
from etl.pipeline.context import Context, now_utc
from etl.pipeline.status import Status, Trouble

_log = logging.getLogger(__name__)


def alert(context: Context, status: Status, now: datetime) -> bool:
    """Mail what is new and what is over since the last alert; return whether a mail was sent.

    Nothing is sent without ``alerts.mail``, or where nothing changed. A cause is recorded after the mail has left, so a
    failure of the mail server is a warning, and the next night tells of it again.
    """
    address, known = context.settings.alerts.mail, context.state.alerted()
    causes = {cause for trouble in status["troubles"] for cause in trouble["causes"]}
    new = [trouble for trouble in status["troubles"] if not known.issuperset(trouble["causes"])]
    over = known - causes
    if not address or not (new or over):
        return False
    subject = f"{len(new)} new: {new[0]['what']}" if new else f"over: {', '.join(sorted(over))}"
    try:
        deliver.send_notice(
            f"[Certificate analytics] {subject}"[:150],
            _text(status, new, sorted(over)),
            address,
            mail=context.settings.mail,
            lookup=context.lookup,
            clock=now_utc,
        )
    except AnalyticsError as error:
        _log.warning("the alert could not be sent: %s", error)
        return False
    context.state.record_alerts(causes, over, now)
    return True


def _text(status: Status, new: list[Trouble], over: list[str]) -> str:
    """Return the mail: what is new, what is over, what is still open, and how far the data are whole."""
    still = [trouble for trouble in status["troubles"] if trouble not in new]
    parts = [
        _section("Needs a person", [f"{each['what']}\n  {each['cure']}" for each in new]),
        _section("Over", over),
        _section("Still open", [each["what"] for each in still]),
        f"Data are whole through {status['whole_through'] or 'no day yet'}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}:", *(f"- {line}" for line in lines)]) if lines else ""
