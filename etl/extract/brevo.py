"""Brevo: the report of single events.

It is asked for by date alone, in the account's time zone: set that to UTC. In another one a slice is the account's day:
still every event is in one slice and no more, which asking for the days around it would undo, but a slice begins and
ends when the account's day does. Neither user agent nor metadata are told.
 developers.brevo.com/reference/get-email-event-report
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from etl.extract.api import Request
from etl.settings import Source

RETENTION_DAYS = 90
_LIMIT = 2500


def headers(secret: str) -> Mapping[str, str]:
    """A header of its own."""
    return {"api-key": secret}


def first(source: Source, day: date) -> list[Request]:  # noqa: ARG001
    """The day's events, oldest first."""
    dates = {"startDate": day.isoformat(), "endDate": day.isoformat()}
    params = {**dates, "limit": _LIMIT, "offset": 0, "sort": "asc"}
    return [Request(listing="events", paths=("/v3/smtp/statistics/events",), params=params)]


def following(request: Request, answer: Any) -> list[Request]:
    """The next page, until one is not full; a page of nothing may be without its list."""
    is_full = len(answer.get("events") or ()) >= _LIMIT
    return [request.with_params(offset=request.params["offset"] + _LIMIT)] if is_full else []
