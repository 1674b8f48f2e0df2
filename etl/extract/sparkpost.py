"""SparkPost (Bird): the Events API, in UTC. Each page links to the next.

SparkPost keeps ten days. Its rate limit counts pages, so pages are as large as it allows.
developers.sparkpost.com/api/events
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from etl.extract.api import Request, day_bounds
from etl.settings import Source

RETENTION_DAYS = 10


def headers(secret: str) -> Mapping[str, str]:
    """Return the header with the key, without a scheme."""
    return {"Authorization": secret}


def first(source: Source, day: date) -> list[Request]:  # noqa: ARG001
    """Return the request for the day's events of every type."""
    start, end = (f"{instant:%Y-%m-%dT%H:%M:%SZ}" for instant in day_bounds(day))
    params = {"from": start, "to": end, "per_page": 10_000, "cursor": "initial"}
    return [Request(listing="events", paths=("/api/v1/events/message",), params=params)]


def following(request: Request, answer: Any) -> list[Request]:
    """Return the page to which the answer links. The last page has no link."""
    link = answer["links"].get("next") if answer["results"] else None
    return [request.at(link)] if link else []
