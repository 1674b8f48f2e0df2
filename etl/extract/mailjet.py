"""Mailjet: opens, clicks and bounces by the time they happened, and messages by the time they came to Mailjet.

The secret is both keys with a colon between them, API key first. Opens, clicks and bounces are told without an address,
by their message's id. A delivery has no time of its own: the message's status says that it was, its arrival stands for
when. How long Mailjet keeps events it does not say; thirty days are what we rely on.
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
    """HTTP Basic, of both keys."""
    return basic(secret)


def first(source: Source, day: date) -> list[Request]:  # noqa: ARG001
    """Four listings."""
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
    """The next page, until one is not full. Count is of the page, and Total not of all, so neither is relied on."""
    is_full = len(answer["Data"]) >= _LIMIT
    return [request.with_params(Offset=request.params["Offset"] + _LIMIT)] if is_full else []
