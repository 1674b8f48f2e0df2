"""Pull events from a provider's API, and land each response unchanged as one file.

The module of a provider lists the requests and reads the paging. This module does what all providers have in common.
After every response, of a long pull after every few, the progress is written beside the slice, so that a killed pull
resumes where it stopped.
The key is in no request's path, query or body, and so in no log, exception or file.
"""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from etl import periods
from etl.errors import EndlessPaging, ExpiredSlice, UnreachableSource
from etl.extract.connection import HURRY, LARGEST, PATIENCE, Connection, Patience, connected
from etl.landing import LandedFile, Landing, Manifest, slice_prefix
from etl.settings import SecretLookup, Source

MOST_ANSWERS = 20_000
"""Answers of one pull, beyond which its paging is taken to have no end."""

MOST_REPEATS = 50
"""Times that one answer may come again with more to follow, as it does where a span with too many rows is halved."""

_KEPT_EACH = 500  # answers of a pull up to which its progress is written after every one, and rarer after them
_UNREADABLE = (KeyError, TypeError, AttributeError, ValueError, RecursionError)


class Request(BaseModel):
    """One or several HTTP requests: GET, or POST where there is a body.

    Several paths are requested one after another, and their responses share a file.
    """

    model_config = ConfigDict(frozen=True)

    listing: str
    paths: tuple[str, ...]
    params: dict[str, Any] = {}
    body: dict[str, Any] | None = None

    def with_params(self, **params: Any) -> "Request":
        """Return the same request with some parameters changed: a further page."""
        return self.model_copy(update={"params": self.params | params})

    def at(self, url: str) -> "Request":
        """Return the request for a provider's link. Take only its path and query, so that no other host gets the key."""
        parts = urlsplit(url)
        return self.model_copy(update={"paths": (parts.path,), "params": dict(parse_qsl(parts.query))})


class Provider(Protocol):
    """The interface of a provider's module. ``RETENTION_DAYS`` is the number of days for which the provider keeps events."""

    RETENTION_DAYS: int

    def headers(self, secret: str) -> Mapping[str, str]:
        """Return the headers that send the key."""

    def first(self, source: Source, day: date) -> list[Request]:
        """Return a request for the first page of each listing that a UTC day needs."""

    def following(self, request: Request, answer: Any) -> list[Request]:
        """Return the requests that follow from an answer.

        They are for the next page, for parts of a span that has too many rows, or for details of the listed items.
        """


class _Progress(BaseModel):
    """The progress of a pull. It is used again only on the day it began, and only for the same first requests."""

    model_config = ConfigDict(frozen=True)

    begun_on: date
    api: str
    first: tuple[Request, ...]
    version: str
    pending: tuple[Request, ...]
    landed: tuple[LandedFile, ...] = ()


def basic(user_and_password: str) -> Mapping[str, str]:
    """Return the header of HTTP Basic authentication."""
    return {"Authorization": f"Basic {base64.b64encode(user_and_password.encode()).decode()}"}


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first instant of a UTC day, and the first instant after it."""
    return periods.midnight(day, "UTC"), periods.period_end(day)


def halves(start: datetime, end: datetime) -> tuple[datetime, datetime, datetime]:
    """Return start, middle (in whole seconds) and end of a span; raise a ValueError where it is too short to be halved."""
    middle = (start + (end - start) / 2).replace(microsecond=0)
    if not start < middle < end:
        raise ValueError("more within a second than the provider gives")
    return start, middle, end


def is_expired(provider: Provider, day: date, today: date) -> bool:
    """Tell whether a part of a UTC day may be older than the provider keeps events."""
    return today - day >= timedelta(days=provider.RETENTION_DAYS)


def extract(
    landing: Landing,
    name: str,
    source: Source,
    provider: Provider,
    day: date,
    lookup: SecretLookup,
    *,
    today: date,
    replace: bool,
    patience: Patience = PATIENCE,
) -> Manifest:
    """Pull a slice into a new version, publish it, and return its manifest.

    Raise ExpiredSlice where the provider no longer keeps the day, unless ``replace``. Raise RefusedKey where it does not
    accept the key, UnreachableSource where it gives no usable answer and retries did not help, and EndlessPaging where
    there is always one answer more. A pull without end is not resumed.
    """
    if is_expired(provider, day, today) and not replace:
        raise ExpiredSlice(name, day, provider.RETENTION_DAYS)
    prefix = slice_prefix(name, day)
    first = tuple(provider.first(source, day))
    fresh = partial(_fresh, landing, source, first, today)
    progress = _resumed(landing, prefix, like=fresh())
    with connected(name, source, day, provider.headers, lookup, patience=patience) as connection:
        pull = partial(_pull, landing, prefix, provider, connection)
        try:
            raw = pull(progress or fresh())
        except UnreachableSource as error:
            if progress is None or not error.is_final:
                raise
            raw = pull(fresh())  # the page at which it stopped no longer exists
        except EndlessPaging:
            landing.remove(_progress_path(landing, prefix))
            raise
    manifest = Manifest(prefix=prefix, raw=raw)
    landing.publish(manifest)
    landing.remove(_progress_path(landing, prefix))
    return manifest


def probe(source: Source, provider: Provider, day: date, lookup: SecretLookup) -> str:
    """Check that the provider answers and accepts the key; return a sentence that says so. A SliceError says why not."""
    with connected(source.format, source, day, provider.headers, lookup, patience=HURRY) as connection:
        _ask(connection, provider.first(source, day)[0])
    return f"{source.api} answers for {day}"


def _pull(
    landing: Landing, prefix: str, provider: Provider, connection: Connection, progress: _Progress
) -> tuple[LandedFile, ...]:
    """Send requests until none is pending; return the landed files. Every answer is landed before it is parsed."""
    _keep(landing, prefix, progress)
    seen, due = Counter(file.sha256 for file in progress.landed), 0
    while progress.pending:
        request, *rest = progress.pending
        answers = _ask(connection, request)
        position = len(progress.landed)
        landed = landing.store(
            prefix,
            f"{progress.version}/raw/{position:04}-{request.listing}.json",
            BytesIO(b"\n".join(answers)),
            origin=f"{request.listing} {position:04}: {request.paths[0]}",
        )
        further = _further(provider, connection, request, answers)
        seen[landed.sha256] += 1
        if further and (seen[landed.sha256] > MOST_REPEATS or position >= MOST_ANSWERS):
            raise EndlessPaging(connection.name, connection.day, request.listing, position + 1)
        progress = progress.model_copy(update={"pending": (*further, *rest), "landed": (*progress.landed, landed)})
        if position >= due:  # the record grows with the pull, so the pauses between two writes do, too
            _keep(landing, prefix, progress)
            due = position + 1 + position // _KEPT_EACH
    return progress.landed


def _ask(connection: Connection, request: Request) -> list[bytes]:
    """Return the bytes of the answers, one for each path."""
    answers: list[bytes] = []
    for path in request.paths:
        room = LARGEST - sum(map(len, answers))
        answers.append(connection.ask(request.listing, path, request.params, request.body, room=room))
    return answers


def _further(provider: Provider, connection: Connection, request: Request, answers: list[bytes]) -> list[Request]:
    """Return the requests that follow from answers; raise UnreachableSource where an answer is not as documented.

    Paging that repeats a request is such an answer, because the pull would never end.
    """
    failed = partial(UnreachableSource, connection.name, connection.day, request.listing)
    try:
        found = [each for answer in answers for each in provider.following(request, json.loads(answer))]
    except _UNREADABLE as error:
        raise failed(str(error) if type(error) is ValueError else "its answer is not as documented") from None
    if request in found:
        raise failed("its paging goes round in a circle")
    return found


def _fresh(landing: Landing, source: Source, first: tuple[Request, ...], today: date) -> _Progress:
    version = landing.fresh_version()
    return _Progress(begun_on=today, api=str(source.api), first=first, version=version, pending=first)


def _progress_path(landing: Landing, prefix: str) -> str:
    return landing.path(prefix, "progress.json")


def _keep(landing: Landing, prefix: str, progress: _Progress) -> None:
    landing.write(_progress_path(landing, prefix), progress.model_dump_json().encode())


def _resumed(landing: Landing, prefix: str, *, like: _Progress) -> _Progress | None:
    """Return the progress of a pull that began today with the same first requests, or None.

    A pull of an earlier day is not resumed, because the provider may have later events by now.
    """
    content = landing.read(_progress_path(landing, prefix))
    try:
        progress = _Progress.model_validate_json(content) if content else None
    except ValidationError:  # written by another release
        return None
    same = progress and (progress.begun_on, progress.api, progress.first) == (like.begun_on, like.api, like.first)
    return progress if same else None
