"""SendGrid: the Email Logs API, which lists the mails of a time and tells the events of each.

A slice is what became of the mails that were sent on its day, as far as it was known when it was last pulled: opens and
clicks of later days are seen while ``late_days`` last, and of a mail's events the latest hundred. The Event Webhook,
whose posts a collector writes to files, tells all of them. Thirty days are kept.
twilio.com/docs/sendgrid/api-reference/email-logs
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from etl.extract.api import Request, day_bounds, halves
from etl.settings import Source

RETENTION_DAYS = 30
_LIMIT = 1000
_FIELD = "sg_message_id_created_at"


def headers(secret: str) -> Mapping[str, str]:
    """A bearer token."""
    return {"Authorization": f"Bearer {secret}"}


def first(source: Source, day: date) -> list[Request]:  # noqa: ARG001
    """The mails of the day."""
    return [_mails(*day_bounds(day))]


def following(request: Request, answer: Any) -> list[Request]:
    """The details of the mails; there is no second page, so a full one is asked for again as two halves of its time."""
    if request.body is None:
        return []
    mails = answer["messages"]
    if len(mails) >= _LIMIT:
        span = (datetime.fromisoformat(word) for word in request.body["query"].split('"')[1::2])
        start, middle, end = halves(*span)
        return [_mails(start, middle), _mails(middle, end)]
    paths = [f"/v3/logs/{quote(mail['sg_message_id'], safe='')}" for mail in mails]
    return [Request(listing="events", paths=tuple(paths[at : at + 100])) for at in range(0, len(paths), 100)]


def _mails(start: datetime, end: datetime) -> Request:
    begins, ends = (f'TIMESTAMP "{instant:%Y-%m-%dT%H:%M:%SZ}"' for instant in (start, end))
    query = f"{_FIELD} >= {begins} AND {_FIELD} < {ends}"
    return Request(listing="mails", paths=("/v3/logs",), body={"query": query, "limit": _LIMIT})
