"""Events by a provider's own API: the answers as they came, one file each, in the landing.

A provider's module says what to ask and how to read its paging; here stands what all have in common. What was asked and
what is still to be asked is kept beside the slice after every answer, so that a pull that was killed goes on where it
stopped. A key is in no request's path, query or body, and so in no log, exception or file.
"""

import base64
import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from etl import periods
from etl.errors import ExpiredSlice, UnreachableSource
from etl.extract.connection import HURRY, PATIENCE, Connection, Patience, connected
from etl.landing import LandedFile, Landing, Manifest, slice_prefix
from etl.settings import SecretLookup, Source

_REFUSED = range(400, 500)
_UNREADABLE = (KeyError, TypeError, AttributeError, ValueError)


class Request(BaseModel):
    """A question: GET, or with a body POST. Several paths are asked one after another; their answers share a file."""

    model_config = ConfigDict(frozen=True)

    listing: str
    paths: tuple[str, ...]
    params: dict[str, Any] = {}
    body: dict[str, Any] | None = None

    def with_params(self, **params: Any) -> "Request":
        """The same question with some other parameters: a further page."""
        return self.model_copy(update={"params": self.params | params})

    def at(self, url: str) -> "Request":
        """The page that a provider's link names: only its path and query count, so that the key stays with its host."""
        parts = urlsplit(url)
        return self.model_copy(update={"paths": (parts.path,), "params": dict(parse_qsl(parts.query))})


class Provider(Protocol):
    """What a provider's module says."""

    RETENTION_DAYS: int

    def headers(self, secret: str) -> Mapping[str, str]:
        """How a request shows the key."""

    def first(self, source: Source, day: date) -> list[Request]:
        """The first page of every listing that a UTC day needs."""

    def following(self, request: Request, answer: Any) -> list[Request]:
        """What an answer leads to: its next page, its parts where it is too much, or details of what it lists."""


class _Progress(BaseModel):
    """How far a pull has come; trusted on the day it began, and for the same questions alone."""

    model_config = ConfigDict(frozen=True)

    begun_on: date
    api: str
    first: tuple[Request, ...]
    version: str
    pending: tuple[Request, ...]
    landed: tuple[LandedFile, ...] = ()


def basic(user_and_password: str) -> Mapping[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": f"Basic {base64.b64encode(user_and_password.encode()).decode()}"}


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """The first instant of a UTC day, and the first after it."""
    return periods.midnight(day, "UTC"), periods.period_end(day)


def halves(start: datetime, end: datetime) -> tuple[datetime, datetime, datetime]:
    """A span of time with the second at its middle; ValueError where it is too short to be cut."""
    middle = (start + (end - start) / 2).replace(microsecond=0)
    if not start < middle < end:
        raise ValueError("more within a second than the provider gives")
    return start, middle, end


def is_expired(provider: Provider, day: date, today: date) -> bool:
    """Whether a part of a UTC day may be older than what the provider keeps."""
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
    """Pulls a slice into a fresh version and publishes it.

    ExpiredSlice where the provider keeps it no more, unless ``replace``; RefusedKey; UnreachableSource when patience is
    over.
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
            if progress is None or error.status not in _REFUSED:
                raise
            raw = pull(fresh())  # the page where it stopped is there no more
    manifest = Manifest(prefix=prefix, raw=raw)
    landing.publish(manifest)
    landing.remove(_progress_path(landing, prefix))
    return manifest


def probe(source: Source, provider: Provider, day: date, lookup: SecretLookup) -> str:
    """That the provider answers and takes the key, in words; SliceErrors say why not."""
    with connected(source.format, source, day, provider.headers, lookup, patience=HURRY) as connection:
        _ask(connection, provider.first(source, day)[0])
    return f"{source.api} answers for {day}"


def _pull(
    landing: Landing, prefix: str, provider: Provider, connection: Connection, progress: _Progress
) -> tuple[LandedFile, ...]:
    """Asks until nothing is pending; lands every answer before it is read."""
    _keep(landing, prefix, progress)
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
        progress = progress.model_copy(update={"pending": (*further, *rest), "landed": (*progress.landed, landed)})
        _keep(landing, prefix, progress)
    return progress.landed


def _ask(connection: Connection, request: Request) -> list[bytes]:
    """The answers' bytes, one for each path."""
    return [connection.ask(request.listing, path, request.params, request.body) for path in request.paths]


def _further(provider: Provider, connection: Connection, request: Request, answers: list[bytes]) -> list[Request]:
    """What the answers lead to; an answer of a form that nobody documents is an error."""
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
    """The progress of a pull that began today with the same questions, if any; later days may know later events."""
    content = landing.read(_progress_path(landing, prefix))
    try:
        progress = _Progress.model_validate_json(content) if content else None
    except ValidationError:  # another release wrote it
        return None
    same = progress and (progress.begun_on, progress.api, progress.first) == (like.begun_on, like.api, like.first)
    return progress if same else None
