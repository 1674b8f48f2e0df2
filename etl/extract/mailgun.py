"""Mailgun: the Events API of one domain, or without ``domain`` the Logs API of the account.

Mailgun promises to keep three days, and more on some plans. The last page is the empty one.
documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/events, .../logs
"""

from collections.abc import Mapping
from datetime import date
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from etl.extract.api import Request, basic, day_bounds
from etl.settings import Source

RETENTION_DAYS = 3

# Without unique_opened and unique_clicked, which repeat opened and clicked.
_LOGGED = ["accepted", "delivered", "failed", "opened", "clicked", "unsubscribed", "complained", "rejected"]


def headers(secret: str) -> Mapping[str, str]:
    """Return the header of HTTP Basic. The user is always ``api``."""
    return basic(f"api:{secret}")


def first(source: Source, day: date) -> list[Request]:
    """Return the request for the day's events, oldest first."""
    start, end = day_bounds(day)
    if source.domain is None:
        body = {
            "start": format_datetime(start),
            "end": format_datetime(end),
            "duration": "1d",
            "events": _LOGGED,
            "pagination": {"sort": "timestamp:asc", "limit": 100},
        }
        return [Request(listing="logs", paths=("/v1/analytics/logs",), body=body)]
    span = {"begin": int(start.timestamp()), "end": int(end.timestamp())}
    path = f"/v3/{quote(source.domain, safe='')}/events"
    return [Request(listing="events", paths=(path,), params={**span, "ascending": "yes", "limit": 300})]


def following(request: Request, answer: Any) -> list[Request]:
    """Return the next page, until a page is empty."""
    if not answer["items"]:
        return []
    if request.body is None:
        return [request.at(answer["paging"]["next"])]
    token = answer["pagination"].get("next")
    pagination = {**request.body["pagination"], "token": token}
    return [request.model_copy(update={"body": {**request.body, "pagination": pagination}})] if token else []
