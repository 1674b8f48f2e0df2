"""Postmark: opens, clicks and bounces of one server, and the deliveries of each message that it sent.

The opens API keeps only the first open of a recipient. Deliveries are in the details of a message, which cost one call
for each message: above some ten thousand messages a day, let Postmark's webhooks write files instead. The bounds of the
UTC day are sent in US Eastern time, because Postmark reads them so. Postmark keeps events for 45 days, or as the server
is set.
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
_COUNT, _MOST = 500, 10_000  # rows of a page, and of all pages of one request
_LISTINGS = {
    "opens": "/messages/outbound/opens",
    "clicks": "/messages/outbound/clicks",
    "bounces": "/bounces",
    "messages": "/messages/outbound",
}


def headers(secret: str) -> Mapping[str, str]:
    """Return the header with the server's token."""
    return {"X-Postmark-Server-Token": secret, "Accept": "application/json"}


def first(source: Source, day: date) -> list[Request]:  # noqa: ARG001
    """Return requests for four listings: opens, clicks, bounces and messages."""
    eastern = periods.zone("America/New_York")
    start, end = (instant.astimezone(eastern).replace(tzinfo=None) for instant in day_bounds(day))
    return [_listing(listing, start, end) for listing in _LISTINGS]


def following(request: Request, answer: Any) -> list[Request]:
    """Return the next page, and the details of the messages on this page.

    Where a span holds more rows than Postmark pages through, return both halves of the span instead.
    """
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
