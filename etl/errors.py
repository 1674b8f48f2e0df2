"""The errors, each with a sentence that says what failed, where, and what to do.

The entry points print ``str(error)`` on one line. No sentence holds an e-mail address or a secret.
"""

import base64
import html
import json
import re
from datetime import date
from typing import Self
from urllib.parse import quote, quote_plus


class AnalyticsError(Exception):
    """A failure of the work. The command line ends with exit code 1.

    A subclass builds its sentence from its own arguments. Those are kept, so that the error can be pickled and sent from
    a worker process.
    """

    def __new__(cls, *arguments: object) -> Self:
        """Keep the arguments of the error."""
        made = super().__new__(cls, *arguments)
        made._arguments = arguments
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """Return what pickle needs to make the same error again from the same arguments."""
        return type(self), self._arguments

    _arguments: tuple[object, ...]

    is_final: bool = False
    """True where the step is certain to fail again, so that a retry only costs time."""


def reason_of(error: Exception) -> str:
    """Return the first line of a library's exception, or the name of its class where it has no text."""
    lines = (getattr(error, "strerror", None) or str(error)).splitlines()
    return lines[0] if lines else type(error).__name__


def refusal_of(error: Exception, *secrets: str | None) -> str:
    """Return the first line of a database driver's exception, without those secrets and without e-mail addresses.

    The exception may be wrapped in one of SQLAlchemy.
    """
    return redacted(reason_of(getattr(error, "orig", None) or error), *secrets)


_ENCODED = re.compile(r"[A-Za-z0-9+/_=-]+")
_AT_SIGN = (  # in the forms of tests/cases/normalise/redaction.yaml
    r" @ |[@\uFF20\uFE6B]|%(?:25)*40|[=+]40|BC%(?:25)*A0|\\(?:u00|x)40|\\u(?:FF20|FE6B)|\+AEA-"
    r"|(?:#|%(?:25)*23)(?:0*64|x0*40)|commat"
)
_ADDRESS = re.compile(rf'<?(?:"[^"]*"|[^\s<>"]+)(?:{_AT_SIGN})[^\s<>]*>?', re.IGNORECASE)
_LONGEST = (
    1000  # characters of a text from outside: enough for any reason, and little work for the pattern of addresses
)


def redacted(text: str, *secrets: str | None) -> str:
    """Return a text from outside on one line, without those secrets and without e-mail addresses.

    A secret is found as it is, quoted for a URL, HTML, JSON or Python, and in Base64, also within a longer text in Base64.
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    for secret in filter(None, secrets):
        mark = "<address>" if "@" in secret else "<secret>"
        for form in sorted(_quoted_forms(secret), key=len, reverse=True):
            line = re.sub(re.escape(form), mark, line, flags=re.IGNORECASE)
        cores = _base64_forms(secret.encode())
        line = _without_encoded(line, cores, mark)
    return _ADDRESS.sub("<address>", line[:_LONGEST]).replace("<<address>>", "<address>")


def _without_encoded(text: str, cores: set[str], mark: str) -> str:
    return _ENCODED.sub(lambda found: mark if any(core in found[0] for core in cores) else found[0], text)


def _quoted_forms(secret: str) -> set[str]:
    forms = {secret, " ".join(secret.split()), quote(secret), quote(secret, safe=""), quote_plus(secret)}
    return (forms | {html.escape(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}) - {""}


def _base64_forms(secret: bytes) -> set[str]:
    """Return the letters that a secret surely has in Base64, for each of the three places where it may begin."""
    forms = set()
    for shift in range(3):
        letters = base64.b64encode(bytes(shift) + secret)[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6].decode()
        forms |= {letters, letters.translate(str.maketrans("+/", "-_"))}
    return {form for form in forms if len(form) > 2}  # noqa: PLR2004  # two letters stand in any word


class QueryError(AnalyticsError):
    """A defect of this project: a named query is missing, has the name of a table, or lacks a parameter."""

    is_final = True


class ConfigurationError(AnalyticsError):
    """An error in the configuration or in the call of the command. The command line ends with exit code 2."""

    is_final = True


class SliceError(AnalyticsError):
    """One slice could not be loaded. The other slices continue, and the version loaded before stays."""

    def __init__(self, source: str, day: date, reason: str) -> None:
        super().__init__(f"{source} {day}: {reason}")
        self.source, self.day, self.reason = source, day, reason


class NoFiles(SliceError):
    """The file pattern of a source matches nothing on a day that should have files."""

    is_final = True

    def __init__(self, source: str, day: date, pattern: str) -> None:
        super().__init__(
            source,
            day,
            f"no file matches {pattern}; bring the files, or set may_be_empty, or waive the slice",
        )


class UnreadableFile(SliceError):
    """A raw file cannot be opened or decompressed."""

    def __init__(self, source: str, day: date, file: str, reason: str) -> None:
        super().__init__(source, day, f"{file} cannot be read ({reason}); have it delivered again, then re-run the day")


class ShrunkenSlice(SliceError):
    """A new version of a slice has under half of the records or events of the loaded version, which stays."""

    is_final = True

    def __init__(self, source: str, day: date, new: int, loaded: int, what: str) -> None:
        super().__init__(
            source,
            day,
            f"{new} {what}, under half of the {loaded} loaded; if that is right, re-run with --replace",
        )


class RefusedSlice(SliceError):
    """A slice's events failed the validation before the load."""

    is_final = True

    def __init__(self, source: str, day: date, expectations: list[str], query: str) -> None:
        failed = "; ".join(expectations)
        super().__init__(source, day, f"validation failed: {failed}. See the rows: {query}")


class NotLanded(SliceError):
    """The landing has no version of a slice that was to be read from it."""

    is_final = True

    def __init__(self, source: str, day: date) -> None:
        super().__init__(source, day, "nothing was landed; run the day without --from-landing")


class ExpiredRaw(SliceError):
    """The raw files of a slice were removed when they had reached their age. What is loaded stays."""

    is_final = True

    def __init__(self, source: str, day: date, expired_on: date) -> None:
        super().__init__(
            source,
            day,
            f"its raw files expired on {expired_on}, so they cannot be read again; run the day without --from-landing to"
            " bring it anew from its source, or load its Parquet with the verb rebuild",
        )


class DamagedSlice(SliceError):
    """A manifest of a slice is damaged."""

    is_final = True


class RegistryError(AnalyticsError):
    """The registry cannot be pulled, or has lost too many rows. The previous version stays."""


class RefusedRegistry(RegistryError):
    """The registry can be read, and is not as it must be."""

    is_final = True


class LandingError(AnalyticsError):
    """The landing cannot be read or written. All slices share it, so it stops them all."""

    def __init__(self, url: str, reason: str) -> None:
        self.reason = (
            f"the landing at {url} cannot be used ({reason}); see that [landing] url is right, and that this host may"
            " read and write there"
        )
        super().__init__(self.reason)


class DamagedFile(AnalyticsError):
    """A small file of the landing, as a manifest, is not what we wrote. It concerns only what it describes."""

    is_final = True

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} is damaged ({reason}); restore it, or remove it and run again without --from-landing")


class WarehouseError(AnalyticsError):
    """The warehouse cannot be opened, is in use by another process, or was made with another hash key."""


class UnknownName(AnalyticsError):
    """The registry does not have a certificate, subscription or issuer of that id."""

    is_final = True

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"the registry has no {kind} {name!r}; see the registry's {kind}s for the ids that exist")


class DeliveryError(AnalyticsError):
    """A report cannot be sent."""


class DeferredDelivery(DeliveryError):
    """The mail server could not accept the message for now. Nothing was sent; the next run tries again."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} could not be sent for now ({reason}); nothing left, the next run tries it")
        self.reason = reason


class RefusedDelivery(DeliveryError):
    """The mail server refused the message for good. Nothing was sent."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} was refused ({reason}); mend the cause, then ask for it with --resend")
        self.reason = reason


class RefusedAddress(RefusedDelivery):
    """The mail server refused the subscriber's address for good: there is no such mailbox. Nothing was sent."""


class DeadAddress(DeliveryError):
    """The subscriber's address was refused for good before, so nothing is sent to it."""

    def __init__(self, what: str, since: str, reason: str) -> None:
        super().__init__(
            f"{what} is not sent: the mail server refused its address for good on {since} ({reason}); name another"
            " address in the registry, or if this one works again ask for the report with --resend"
        )


class DoubtfulDelivery(DeliveryError):
    """It is unknown whether the message was sent, so it is not sent again automatically."""

    def __init__(self, what: str, message_id: str) -> None:
        super().__init__(
            f"{what} may have left, or may not: look for Message-ID {message_id.strip('<>')} in the mail"
            " server's log, and where it is not there ask for it with --resend"
        )


class DeliveryInProgress(DeliveryError):
    """Another run is sending the message now. It is not sent again as long as that run may be at work."""

    def __init__(self, what: str, since: str, until: str) -> None:
        super().__init__(
            f"{what} is being sent by another run, since {since}; wait for its outcome, and if it was killed run this"
            f" again after {until}"
        )


class UnusableServer(DeliveryError):
    """The connection or the login to the mail server failed, so no message can be sent."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"the mail server {host} is of no use ({reason}); nothing left: mend [mail], run again")
        self.reason = reason


class UnsentAlert(AnalyticsError):
    """An alert cannot be sent through a connection of Airflow's."""

    def __init__(self, connection: str, reason: str) -> None:
        super().__init__(f"connection {connection}: {reason}")


class StateError(AnalyticsError):
    """The state database cannot be read or written."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"the state at {place} cannot be used ({reason}); see that [state] url is right")


class ExpiredSlice(SliceError):
    """A day is older than the provider keeps events. Its answer would be empty, and wrong."""

    is_final = True

    def __init__(self, source: str, day: date, kept_days: int) -> None:
        super().__init__(
            source,
            day,
            f"the provider promises to keep {kept_days} days, and this one is older; bring its files, or waive the"
            " slice, or where your plan keeps more run it again with --replace",
        )


class MissingKey(SliceError):
    """The secret with the key of a provider is missing, or holds no key."""

    is_final = True


class RefusedKey(SliceError):
    """The provider does not accept our key."""

    is_final = True

    def __init__(self, source: str, day: date, secret: str, status: int) -> None:
        super().__init__(
            source,
            day,
            f"the provider refused the key ({status}); see that the secret {secret} is right and may read events",
        )


class EndlessPaging(SliceError):
    """The answers of a provider always lead to a further one."""

    is_final = True

    def __init__(self, source: str, day: date, listing: str, count: int) -> None:
        super().__init__(
            source,
            day,
            f"its API gave {count:,} answers for {listing}, and its paging does not end; see that api is right and ask"
            " the provider, or bring the day's files",
        )


_REFUSED_REQUEST = (400, 404, 410, 422)
_AGAIN = "run it again: a pull of the same day goes on where it stopped"


class UnreachableSource(SliceError):
    """The provider cannot be reached or gives no usable answer, and retries did not help.

    It is final where the provider refuses what is asked, but not where it asks for patience (408, 425, 429).
    """

    def __init__(self, source: str, day: date, listing: str, reason: str, status: int | None = None) -> None:
        is_final = status in _REFUSED_REQUEST
        cure = "see that the source's api and domain are right" if is_final else _AGAIN
        super().__init__(source, day, f"its API gave no {listing} ({reason}); {cure}")
        self.status, self.is_final = status, is_final
