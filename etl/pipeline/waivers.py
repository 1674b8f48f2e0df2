"""Waive a slice that will never come, take that back, and list what is waived."""

from datetime import date, timedelta

from etl import statistics
from etl.errors import ConfigurationError
from etl.pipeline.context import Context, now_utc
from etl.pipeline.nights import is_expected
from etl.warehouse import Row

LONGEST_REASON = 500


def waive(context: Context, source: str, day: date, reason: str) -> str:
    """Record that a slice will never come, and return a sentence that says so.

    Raise a ConfigurationError for a slice that is loaded or not expected, or a reason that reports could not print.
    """
    text = " ".join(reason.split())
    if not (0 < len(text) <= LONGEST_REASON):
        raise ConfigurationError(f"--reason is printed in reports; write one of 1 to {LONGEST_REASON} characters")
    if not is_expected(context.source(source), day) or day >= now_utc().date():
        raise ConfigurationError(f"{source} {day} is not expected, so it holds nothing back; see since and until")
    with context.warehouse() as opened:
        rows = statistics.slices(opened, context.settings, [], day + timedelta(days=1), first=day, last=day)
    status = next((row["status"] for row in rows if row["source"] == source), "missing")
    if status in ("loaded", "empty"):
        raise ConfigurationError(f"{source} {day} is {status}, so it holds nothing back; nothing is waived")
    context.state.waive(source, day, text, now_utc())
    return f"{source} {day} is waived; reports print: {text}"


def undo_waiver(context: Context, source: str, day: date) -> str:
    """Expect a waived slice again, and return a sentence that says so; raise a ConfigurationError if it is not waived."""
    if not context.state.undo_waiver(source, day):
        raise ConfigurationError(f"{source} {day} is not waived; waive --list names the slices that are")
    return f"{source} {day} is expected again"


def list_waivers(context: Context) -> list[Row]:
    """Return source, day and reason of each waived slice, by day and source."""
    waivers = sorted(context.waivers(), key=lambda waiver: (waiver[1], waiver[0]))
    return [{"source": source, "load_date": day, "reason": reason} for source, day, reason in waivers]
