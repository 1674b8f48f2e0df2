"""Send HTTP requests to a provider's API: the key on every request, retries, and errors without secrets.

Requests sends, and urllib3's Retry repeats after errors and rate limits. Both are imported only where they are used,
because importing them binds a socket.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from etl.errors import ConfigurationError, MissingKey, RefusedKey, UnreachableSource, redacted
from etl.settings import SecretLookup, Source, require

Patience = Mapping[str, Any]

PATIENCE: Patience = {
    "total": 8,
    "backoff_factor": 1,
    "backoff_max": 60,
    "status_forcelist": (429, 500, 502, 503, 504),
    "allowed_methods": None,
    "raise_on_status": False,
    "respect_retry_after_header": True,
    "retry_after_max": 900,
}
"""The retries of a pull: about three minutes in all, or as long as the provider asks for, at most 15 minutes at once."""

HURRY: Patience = {**PATIENCE, "total": 1, "retry_after_max": 5}
"""The retries of a check that only needs to know whether the provider answers."""

LARGEST = 32 << 20
"""Bytes of a decoded answer, or of answers that share a file. The largest pages of a provider have some 15 MB."""

_TIMEOUT = (10, 120)
_LONGEST_ANSWER = 1800
_FOREVER = 1e9
_CHUNK = 1 << 16
_LOGGERS = ("urllib3.connection", "urllib3.connectionpool", "urllib3.response", "urllib3.util.retry")
_ANSWERED, _WRONG_KEY = 200, (401, 403)


_log = logging.getLogger(__name__)


class _EndedError(Exception):
    """We end a request, because it asks for too much. The text says for what."""


@dataclass(frozen=True)
class Connection:
    """A connection to a provider for one slice. ``secret`` is the name of the key, for errors."""

    name: str
    day: date
    url: str
    secret: str
    send: Callable[..., Any]

    def ask(self, listing: str, path: str, params: Mapping[str, Any], body: Any = None, *, room: int) -> bytes:
        """Send one request; return the bytes of the answer, at most as many as there is room for.

        Raise RefusedKey, or UnreachableSource with the HTTP status where there was one.
        """
        from requests import RequestException  # noqa: PLC0415

        method = "GET" if body is None else "POST"
        options = {"params": params, "json": body, "timeout": _TIMEOUT, "allow_redirects": False}
        try:
            status, content = self.send(method, f"{self.url}{path}", room, **options)
        except _EndedError as error:
            reason, status = str(error), None
        except RequestException as error:
            reason, status = _reason(error), None
        else:
            reason = f"it answered {status}"
            if status == _ANSWERED:
                return bytes(content)
        if status in _WRONG_KEY:
            raise RefusedKey(self.name, self.day, self.secret, status)
        raise UnreachableSource(self.name, self.day, listing, reason, status)


@contextmanager
def connected(
    name: str,
    source: Source,
    day: date,
    signed: Callable[[str], Mapping[str, str]],
    lookup: SecretLookup,
    *,
    patience: Patience,
) -> Iterator[Connection]:
    """Yield a connection until the block ends; raise a SliceError where the key is not set or not valid.

    ``signed`` returns the headers that send the key.
    """
    from requests import Session  # noqa: PLC0415
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    try:
        key = _key(str(source.secret), lookup)
        signature = _signature(signed(key))
    except ConfigurationError as error:  # one source without its key must not stop the others
        raise MissingKey(name, day, str(error)) from None
    with Session() as session, _out_of_the_log(key):
        session.auth = signature
        adapter = HTTPAdapter(max_retries=_retries(patience, f"{name} {day}"))
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter)
        # The adapter retries until an answer begins. An answer that breaks off is retried here.
        again = Retrying(
            retry=retry_if_exception(_is_cut_short),
            stop=stop_after_attempt(3),
            wait=wait_exponential(multiplier=patience["backoff_factor"], max=patience["backoff_max"]),
            reraise=True,
        )
        url = str(source.api).rstrip("/")
        yield Connection(name, day, url, str(source.secret), partial(again, _answer, session))


def _answer(session: Any, method: str, url: str, room: int, **options: Any) -> tuple[int, bytes]:
    """Return status and content of an answer. Read it part by part, because a small one may unpack to a huge one."""
    with session.request(method, url, stream=True, **options) as answer:
        if answer.status_code != _ANSWERED:
            return answer.status_code, b""
        content, begun_at = bytearray(), time.monotonic()
        for chunk in answer.iter_content(_CHUNK):
            content += chunk
            if len(content) > room:
                raise _EndedError(f"its answer has over {LARGEST >> 20} MB, more than any page that is documented")
            if time.monotonic() - begun_at > _LONGEST_ANSWER:
                raise _EndedError(f"its answer did not end within {_LONGEST_ANSWER // 60} minutes")
        return answer.status_code, bytes(content)


def _retries(patience: Patience, name: str) -> Any:
    """Return urllib3's retries. They log each pause that the provider asks for, and end with one that is too long."""
    from urllib3.util import Retry  # noqa: PLC0415

    longest = patience["retry_after_max"]

    class Retries(Retry):
        def sleep_for_retry(self, response: Any) -> bool:
            try:
                pause = float(self.get_retry_after(response) or 0)
            except (ValueError, OverflowError):  # a number or a date beyond reason
                pause = _FOREVER
            if pause > longest:
                raise _EndedError(f"it asks for a pause of {min(pause, _FOREVER):,.0f} s; we wait {longest} s at most")
            if pause:
                _log.warning("%s: the provider asks for a pause of %.0f s", name, pause)
            return super().sleep_for_retry(response)

    return Retries(**{**patience, "retry_after_max": _FOREVER})


def _key(secret: str, lookup: SecretLookup) -> str:
    text = require(secret, lookup).strip()
    if not (text.isascii() and text.isprintable()):
        raise ConfigurationError(f"the secret {secret} holds signs that no key has; set it again")
    return text


@contextmanager
def _out_of_the_log(key: str) -> Iterator[None]:
    """Take the key out of what urllib3 logs until the block ends: its warnings quote the provider, who may repeat it."""

    def take_out(record: logging.LogRecord) -> bool:
        record.msg, record.args, record.exc_info = redacted(record.getMessage(), key), (), None
        return True

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(take_out)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(take_out)


def _signature(headers: Mapping[str, str]) -> Callable[[Any], Any]:
    """Return the session's auth, which puts the key on a request. As an auth it also overrides a ``.netrc`` of the host."""

    def sign(request: Any) -> Any:
        request.headers.update(headers)
        return request

    return sign


def _is_cut_short(error: BaseException) -> bool:
    from requests.exceptions import ChunkedEncodingError, ContentDecodingError  # noqa: PLC0415

    return isinstance(error, ChunkedEncodingError | ContentDecodingError)


def _reason(error: BaseException) -> str:
    """Return why a request failed, in words that quote neither the URL nor a header."""
    from requests.exceptions import ConnectionError as NoConnection  # noqa: PLC0415
    from requests.exceptions import SSLError, Timeout  # noqa: PLC0415

    if isinstance(error, Timeout):
        return "it gave no answer in time"
    if _is_cut_short(error):
        return "its answer broke off"
    if isinstance(error, SSLError):
        return "its certificate is not trusted"
    return "no connection" if isinstance(error, NoConnection) else type(error).__name__
