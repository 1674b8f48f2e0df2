"""The error policy of a slice: which failures are recorded, refuse the landed version, or are retried."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from etl import load
from etl.errors import (
    AnalyticsError,
    ConfigurationError,
    ExpiredSlice,
    LandingError,
    NoFiles,
    RefusedKey,
    RefusedSlice,
    ShrunkenSlice,
    SliceError,
    UnreadableFile,
)
from etl.landing import slice_prefix
from etl.pipeline.context import Context

_FINAL = (ConfigurationError, ExpiredSlice, NoFiles, RefusedKey, RefusedSlice, ShrunkenSlice)
_REFUSING = (RefusedSlice, ShrunkenSlice, UnreadableFile)

_log = logging.getLogger(__name__)


def is_final(error: Exception) -> bool:
    """Tell whether a retry of the step is certain to fail again."""
    return isinstance(error, _FINAL)


@contextmanager
def recorded(context: Context, source: str, day: date, *, is_landed: bool) -> Iterator[None]:
    """Run a step of a slice; where it fails, record the reason in the warehouse and raise the failure again.

    ``is_landed`` is true for a step that works on the newest landed version. Where that version cannot be used, it is
    marked as refused, so that a rebuild from the landing takes the loaded version.
    """
    try:
        yield
    except Exception as error:
        if is_landed and isinstance(error, _REFUSING):
            refuse_newest(context, slice_prefix(source, day), error.reason)
        try:
            record(context, source, day, _reason(error))
        except AnalyticsError as trouble:  # must not hide the failure of the step itself
            _log.warning("%s %s: the reason could not be recorded: %s", source, day, trouble)
        raise


def record(context: Context, source: str, day: date, reason: str) -> None:
    """Record in the warehouse why a slice was not loaded."""
    with context.warehouse() as opened:
        load.record_failure(opened, source, day, reason)


def refuse_newest(context: Context, prefix: str, reason: str) -> None:
    """Mark the newest landed version of a prefix as refused."""
    newest = context.landing.newest(prefix)
    if newest:
        context.landing.publish(newest.model_copy(update={"status": "refused", "reason": reason}))


def _reason(error: Exception) -> str:
    if isinstance(error, SliceError | LandingError):
        return error.reason
    return (
        str(error) if isinstance(error, AnalyticsError) else f"{type(error).__name__}; see the log of the failed step"
    )
