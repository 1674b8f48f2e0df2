"""Mailjet: opens, clicks and bounces by the time of the event, and messages by the time of their arrival at Mailjet.

The secret is both keys with a colon between them, API key first. Opens, clicks and bounces have the id of their message
but no address. A delivery has no timestamp: the status of the message says that it was delivered, and the arrival of the
message is taken as the time. Mailjet does not say how long it keeps events: thirty days are an assumption.
dev.mailjet.com/email/reference/messages
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from etl.extract.api import Request, basic, day_bounds
from etl.settings import Source

RETENTION_DAYS = 30
_LIMIT = 1000


def headers(secret: str) -> Mapping[str, str]:
    """Return the header of HTTP Basic with both keys."""
    return basic(secret)


def first(source: Source, day: date) -> list[Request]:  # noqa: ARG001
    """Return requests for four listings: opens, clicks, bounces and messages."""
    start, end = (int(instant.timestamp()) for instant in day_bounds(day))
    page = {"Limit": _LIMIT, "Offset": 0}
    events = {"EventFromTs": start, "EventToTs": end, **page}
    messages = {"FromTS": start, "ToTS": end, "ShowContactAlt": "true", "ShowCustomID": "true", **page}
    return [
        *(
            Request(listing=listing, paths=(f"/v3/REST/{listing}",), params=events)
            for listing in ("openinformation", "clickstatistics", "bouncestatistics")
        ),
        Request(listing="message", paths=("/v3/REST/message",), params=messages),
    ]


def following(request: Request, answer: Any) -> list[Request]:
    """Return the next page while pages are full.

    ``Count`` counts the page, and ``Total`` does not count all rows, so neither shows the last page.
    """
    is_full = len(answer["Data"]) >= _LIMIT
    return [request.with_params(Offset=request.params["Offset"] + _LIMIT)] if is_full else []
