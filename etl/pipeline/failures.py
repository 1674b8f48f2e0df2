"""The error policy of a slice: which failures are recorded, refuse the landed version, or are retried."""

import errno
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from etl import load
from etl.errors import (
    AnalyticsError,
    DamagedFile,
    DamagedSlice,
    LandingError,
    QueryError,
    RefusedSlice,
    RegistryError,
    ShrunkenSlice,
    SliceError,
    UnreadableFile,
    refusal_of,
)
from etl.landing import slice_prefix
from etl.pipeline.context import Context

_REFUSING = (RefusedSlice, ShrunkenSlice, UnreadableFile)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_WORDS = (
    "No space left",
    "Disk quota exceeded",
    "File too large",
    "failed to offload data block",
    "temp_directory",
)
_MEMORY_WORDS = ("Out of Memory", "Allocation failure", "could not allocate", "malloc of size", "realloc of size")
_OUTSIDE = ("duckdb", "_duckdb", "pyarrow", "sqlalchemy", "zlib", "backports")
"""Libraries whose errors are about what they were given: an input, a disk, a database."""

_DEFECT = "a defect of this project; please report it"

_log = logging.getLogger(__name__)


def is_expected(error: BaseException | None) -> bool:
    """Tell whether the sentence of an error says all that there is to know: it is ours, and no defect of this project."""
    return isinstance(error, AnalyticsError) and not isinstance(error, QueryError) and _DEFECT not in str(error)


def is_final(error: Exception) -> bool:
    """Tell whether a retry of the step is certain to fail again."""
    return isinstance(error, AnalyticsError) and error.is_final


@contextmanager
def recorded(context: Context, source: str, day: date, *, is_landed: bool) -> Iterator[None]:
    """Run a step of a slice; where it fails, record the reason in the warehouse and raise the failure.

    What fails outside our own errors, as for lack of memory or disk, is raised as a SliceError, so that other slices go on.
    ``is_landed`` is true for a step that works on the newest landed version. Where that version cannot be used, it is
    marked as refused, so that a rebuild from the landing takes the loaded version.
    """
    try:
        yield
    except Exception as error:
        failure = settle(context, source, day, failure_of(source, day, error), is_landed=is_landed)
        if failure is error:
            raise
        raise failure from (error if is_defect(error) else None)


def settle(context: Context, source: str, day: date, failure: AnalyticsError, *, is_landed: bool) -> AnalyticsError:
    """Record the failure of a step in the warehouse, refuse the newest landed version as ``recorded`` does, and return it."""
    if is_landed and isinstance(failure, _REFUSING):
        refuse_newest(context, slice_prefix(source, day), failure.reason)
    try:
        record(context, source, day, _reason(failure))
    except Exception as trouble:  # noqa: BLE001  # must not hide the failure of the step itself
        _log.warning("%s %s: the reason could not be recorded: %s", source, day, refusal_of(trouble))
    return failure


@contextmanager
def of_registry() -> Iterator[None]:
    """Pull the registry; raise what fails outside our own errors as a RegistryError, so that the slices go on."""
    try:
        yield
    except AnalyticsError:
        raise
    except Exception as error:  # noqa: BLE001  # each library has its own
        failure = RegistryError(f"the registry was not loaded: {cure_of(error)}")
        raise failure from (error if is_defect(error) else None)


def failure_of(source: str, day: date, error: Exception) -> AnalyticsError:
    """Return an error of ours for whatever a step of a slice raised."""
    if isinstance(error, DamagedFile):
        return DamagedSlice(source, day, str(error))
    return error if isinstance(error, AnalyticsError) else SliceError(source, day, cure_of(error))


def record(context: Context, source: str, day: date, reason: str) -> None:
    """Record in the warehouse why a slice was not loaded."""
    with context.warehouse() as opened:
        load.record_failure(opened, source, day, reason)


def refuse_newest(context: Context, prefix: str, reason: str) -> None:
    """Mark the newest landed version of a prefix as refused."""
    newest = context.landing.newest(prefix)
    if newest:
        context.landing.publish(newest.model_copy(update={"status": "refused", "reason": reason}))


def cure_of(error: Exception) -> str:
    """Return what gave out, in an error that is none of ours, and what to do. Quote neither data nor an address."""
    text = str(error)
    if isinstance(error, MemoryError) or any(words in text for words in _MEMORY_WORDS):
        return "the memory gave out; change memory_limit under [normalise], or give this host more, then run it again"
    if getattr(error, "errno", None) in _FULL or any(words in text for words in _FULL_WORDS):
        return "the disk is full; make room in the temporary directory (TMPDIR) and in the landing, then run it again"
    if is_defect(error):
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {place.name}, line {place.lineno}, {_DEFECT}"
    return f"it could not be processed ({refusal_of(error)}); mend the cause, then run it again"


def is_defect(error: Exception) -> bool:
    """Tell whether an error that is none of ours comes from our own code: not from the system, a library or a want of memory."""
    return not isinstance(error, OSError | MemoryError | EOFError) and not type(error).__module__.startswith(_OUTSIDE)


def _reason(error: AnalyticsError) -> str:
    return error.reason if isinstance(error, SliceError | LandingError) else str(error)
