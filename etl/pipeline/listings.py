"""List figures, recipients and slices from the warehouse, for the command line."""

from datetime import date

from etl import statistics
from etl.pipeline.context import Context, now_utc
from etl.warehouse import Row


def list_catalogue(
    context: Context, as_of: date, timezone: str, issuer: str | None, certificate: str | None
) -> list[Row]:
    """Return the metric catalogue at the end of a local day, one row per certificate."""
    with context.warehouse() as opened:
        return statistics.catalogue(opened, context.settings, as_of, timezone, issuer, certificate)


def list_recipients(context: Context, as_of: date, timezone: str, certificate: str) -> list[Row]:
    """Return the recipients of a certificate at the end of a local day, with the furthest state reached."""
    with context.warehouse() as opened:
        return statistics.recipients(opened, context.settings, as_of, timezone, certificate)


def list_slices(context: Context, first: date | None, last: date | None) -> list[Row]:
    """Return one row for each source and day: what the warehouse holds, or what is missing up to yesterday."""
    with context.warehouse() as opened:
        return statistics.slices(opened, context.settings, context.waivers(), now_utc().date(), first, last)
