"""SendGrid: the Email Logs API, which lists the mails of a span of time and the events of each mail.

A slice holds the events of the mails that were sent on its day, as known at the last pull. Opens and clicks of later days
are found only while the slice is pulled again, which is for ``late_days``. Of each mail the API gives the latest hundred
events. The Event Webhook, whose posts a collector writes to files, gives all events. SendGrid keeps thirty days.
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
    """Return the key as a bearer token."""
    return {"Authorization": f"Bearer {secret}"}


def first(source: Source, day: date) -> list[Request]:  # noqa: ARG001
    """Return the request for the mails of the day."""
    return [_mails(*day_bounds(day))]


def following(request: Request, answer: Any) -> list[Request]:
    """Return the requests for the details of the mails.

    The API has no second page, so for a full page return both halves of its span instead.
    """
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
