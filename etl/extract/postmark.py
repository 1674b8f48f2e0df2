"""Postmark: opens, clicks and bounces of one server, and the deliveries of each message that it sent.

The opens API keeps the first open of a recipient alone. A delivery is told by a message's details, which are one call
for each message: above some ten thousand messages a day let Postmark's webhooks write files instead. The UTC day is
asked for in US Eastern time, which is how Postmark reads it. Events are kept 45 days, or as the server was set.
postmarkapp.com/developer/api/messages-api, .../bounce-api
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from etl import periods
from etl.extract.api import Request, day_bounds, halves
from etl.settings import Source

RETENTION_DAYS = 45
_COUNT, _MOST = 500, 10_000  # of a page, and of all pages of one question
_LISTINGS = {
    "opens": "/messages/outbound/opens",
    "clicks": "/messages/outbound/clicks",
    "bounces": "/bounces",
    "messages": "/messages/outbound",
}


def headers(secret: str) -> Mapping[str, str]:
    """The server's token."""
    return {"X-Postmark-Server-Token": secret, "Accept": "application/json"}


def first(source: Source, day: date) -> list[Request]:  # noqa: ARG001
    """Four listings."""
    eastern = periods.zone("America/New_York")
    start, end = (instant.astimezone(eastern).replace(tzinfo=None) for instant in day_bounds(day))
    return [_listing(listing, start, end) for listing in _LISTINGS]


def following(request: Request, answer: Any) -> list[Request]:
    """The next page, with the details of the messages on this one; or both halves of a time that holds too much."""
    if request.listing == "deliveries":
        return []
    offset = request.params["offset"] + _COUNT
    if answer["TotalCount"] > _MOST:
        start, end = (datetime.fromisoformat(request.params[name]) for name in ("fromdate", "todate"))
        start, middle, end = halves(start, end)
        return [_listing(request.listing, start, middle), _listing(request.listing, middle, end)]
    next_page = [request.with_params(offset=offset)] if offset < answer["TotalCount"] else []
    return _deliveries(answer.get("Messages", ())) + next_page


def _listing(listing: str, start: datetime, end: datetime) -> Request:
    span = {"fromdate": start.isoformat(), "todate": end.isoformat()}
    return Request(listing=listing, paths=(_LISTINGS[listing],), params={**span, "count": _COUNT, "offset": 0})


def _deliveries(messages: Any) -> list[Request]:
    paths = [f"/messages/outbound/{quote(message['MessageID'], safe='')}/details" for message in messages]
    return [Request(listing="deliveries", paths=tuple(paths[at : at + 100])) for at in range(0, len(paths), 100)]
