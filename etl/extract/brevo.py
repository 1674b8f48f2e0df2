"""Brevo: the report of single events.

The report can be requested by date only, and the date is in the account's time zone: set that zone to UTC. In any other
zone a slice is a day of the account instead of a UTC day. The days around it are not requested, so that every event is
still in exactly one slice. The report has neither user agent nor metadata.
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
    """Return the header ``api-key``."""
    return {"api-key": secret}


def first(source: Source, day: date) -> list[Request]:  # noqa: ARG001
    """Return the request for the day's events, oldest first."""
    dates = {"startDate": day.isoformat(), "endDate": day.isoformat()}
    params = {**dates, "limit": _LIMIT, "offset": 0, "sort": "asc"}
    return [Request(listing="events", paths=("/v3/smtp/statistics/events",), params=params)]


def following(request: Request, answer: Any) -> list[Request]:
    """Return the next page while pages are full. An empty page may lack its list."""
    is_full = len(answer.get("events") or ()) >= _LIMIT
    return [request.with_params(offset=request.params["offset"] + _LIMIT)] if is_full else []
