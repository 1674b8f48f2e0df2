"""What can go wrong, each with the sentence that tells the reader what, where and what to do.

The entry points print ``str(error)`` on one line. No sentence holds an address or a secret.
"""

import re
from datetime import date
from typing import Self


class AnalyticsError(Exception):
    """The work failed; the command line ends with exit code 1.

    Subclasses make their sentence from other arguments. Those are kept, so that an error survives pickling on its way
    from a worker process.
    """

    def __new__(cls, *arguments: object) -> Self:
        """Keep what the error is made from."""
        made = super().__new__(cls, *arguments)
        made._arguments = arguments
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """Make the same error from the same arguments."""
        return type(self), self._arguments

    _arguments: tuple[object, ...]


def reason_of(error: Exception) -> str:
    """The first line of what somebody else's exception says; the name of its class where it says nothing."""
    said = (getattr(error, "strerror", None) or str(error)).splitlines()
    return said[0] if said else type(error).__name__


def refusal_of(error: Exception) -> str:
    """The same of what a database's driver says, behind an error of SQLAlchemy or not; it may quote addresses: without them."""
    return re.sub(r"\S+@\S+", "<address>", reason_of(getattr(error, "orig", None) or error))


class QueryError(AnalyticsError):
    """A named query is missing, has the name of a table, or lacks a parameter: a defect of this project."""


class ConfigurationError(AnalyticsError):
    """The configuration, or the way the command was called, is wrong; exit code 2."""


class SliceError(AnalyticsError):
    """One slice could not be brought in; the others go on, and what was loaded before stays."""

    def __init__(self, source: str, day: date, reason: str) -> None:
        super().__init__(f"{source} {day}: {reason}")
        self.source, self.day, self.reason = source, day, reason


class NoFiles(SliceError):
    """The pattern of a source matches nothing on a day that should have files."""

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
    """A new version has far fewer records than the loaded one, which stays."""

    def __init__(self, source: str, day: date, new: int, loaded: int) -> None:
        super().__init__(
            source,
            day,
            f"{new} raw records, under half of the {loaded} loaded; if that is right, re-run with --replace",
        )


class RefusedSlice(SliceError):
    """A slice's events failed the validation before the load."""

    def __init__(self, source: str, day: date, expectations: list[str], query: str) -> None:
        failed = "; ".join(expectations)
        super().__init__(source, day, f"validation failed: {failed}. See the rows: {query}")


class NotLanded(SliceError):
    """A slice was asked for from the landing, which has none."""

    def __init__(self, source: str, day: date) -> None:
        super().__init__(source, day, "nothing was landed; run the day without --from-landing")


class RegistryError(AnalyticsError):
    """The registry cannot be pulled, or lost too many rows; the former one stays."""


class LandingError(AnalyticsError):
    """The landing, which every slice shares, cannot be read or written."""

    def __init__(self, url: str, reason: str) -> None:
        self.reason = (
            f"the landing at {url} cannot be used ({reason}); see that [landing] url is right, and that this host may"
            " read and write there"
        )
        super().__init__(self.reason)


class WarehouseError(AnalyticsError):
    """The warehouse cannot be opened, is held by another process, or was made with another key."""


class UnknownName(AnalyticsError):
    """A certificate, subscription or issuer that the registry does not have."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"the registry has no {kind} {name!r}; see the registry's {kind}s for the ids that exist")


class DeliveryError(AnalyticsError):
    """A message could not be handed to the mail server."""


class DeferredDelivery(DeliveryError):
    """The mail server could not take the message for now; nothing left."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} could not be sent for now ({reason}); nothing left, the next run tries it")
        self.reason = reason


class RefusedDelivery(DeliveryError):
    """The mail server refused the message for good; nothing left."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} was refused ({reason}); mend the cause, then ask for it with --resend")
        self.reason = reason


class DoubtfulDelivery(DeliveryError):
    """Nobody knows whether the message left, so it is not sent again by itself."""

    def __init__(self, what: str, message_id: str) -> None:
        super().__init__(
            f"{what} may have left, or may not: look for Message-ID {message_id.strip('<>')} in the mail"
            " server's log, and where it is not there ask for it with --resend"
        )


class UnusableServer(DeliveryError):
    """The mail server does not let us in; that is no message's fault."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"the mail server {host} is of no use ({reason}); nothing left: mend [mail], run again")
        self.reason = reason


class StateError(AnalyticsError):
    """The state database cannot be read or written."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"the state at {place} cannot be used ({reason}); see that [state] url is right")


class ExpiredSlice(SliceError):
    """A day lies further back than the provider keeps events; an answer would be empty, and wrong."""

    def __init__(self, source: str, day: date, kept_days: int) -> None:
        super().__init__(
            source,
            day,
            f"the provider promises to keep {kept_days} days, and this one is older; bring its files, or waive the"
            " slice, or where your plan keeps more run it again with --replace",
        )


class RefusedKey(SliceError):
    """The provider does not take our key."""

    def __init__(self, source: str, day: date, secret: str, status: int) -> None:
        super().__init__(
            source,
            day,
            f"the provider refused the key ({status}); see that the secret {secret} is right and may read events",
        )


class UnreachableSource(SliceError):
    """The provider cannot be asked, or answers nothing of use, and patience is over."""

    def __init__(self, source: str, day: date, listing: str, reason: str, status: int | None = None) -> None:
        super().__init__(
            source,
            day,
            f"its API gave no {listing} ({reason}); run it again: a pull of the same day goes on where it stopped",
        )
        self.status = status
