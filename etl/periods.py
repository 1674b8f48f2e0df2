"""Dates, ISO weeks and months in a time zone, turned into instants: the only place that does so.

Everything downstream sees UTC: SQL gets naive UTC timestamps, files get ``Z``.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from etl.errors import ConfigurationError

Frequency = Literal["daily", "weekly", "monthly"]

_DAY = timedelta(days=1)


def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name; ConfigurationError names the cure where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigurationError(f"unknown time zone {name!r}; use an IANA name such as Europe/Berlin") from error


def midnight(day: date, timezone: str) -> datetime:
    """The first instant of a local day, in UTC.

    Where clocks jump over midnight, the day begins with the jump: ``fold=0`` reads the skipped wall time
    with the offset before it, which is the same instant.
    """
    return datetime.combine(day, time(), zone(timezone)).astimezone(UTC)


def period_end(as_of: date, timezone: str = "UTC") -> datetime:
    """``T`` of the metric catalogue: the first instant after the as-of day, in UTC."""
    return midnight(as_of + _DAY, timezone)


@dataclass(frozen=True)
class Period:
    """A local date, ISO 8601 week or calendar month: from ``first`` to ``last``, both included."""

    frequency: Frequency
    first: date
    last: date
    timezone: str

    @property
    def name(self) -> str:
        """As users write it: 2026-11-23, 2026-W47 or 2026-11."""
        if self.frequency == "weekly":
            year, week, _ = self.first.isocalendar()
            return f"{year}-W{week:02}"
        return self.first.isoformat() if self.frequency == "daily" else f"{self.first:%Y-%m}"

    @property
    def start_at(self) -> datetime:
        """The first instant of the period, in UTC."""
        return midnight(self.first, self.timezone)

    @property
    def end_at(self) -> datetime:
        """The first instant after the period, in UTC: its ``T``."""
        return period_end(self.last, self.timezone)

    @property
    def previous(self) -> "Period":
        """The period of the same frequency just before."""
        return containing(self.first - _DAY, self.frequency, self.timezone)

    @property
    def following(self) -> "Period":
        """The period of the same frequency just after."""
        return containing(self.last + _DAY, self.frequency, self.timezone)


def containing(day: date, frequency: Frequency, timezone: str) -> Period:
    """The period of that frequency in which a local day lies."""
    if frequency == "daily":
        return Period(frequency, day, day, timezone)
    if frequency == "weekly":
        monday = day - timedelta(days=day.weekday())
        return Period(frequency, monday, monday + timedelta(days=6), timezone)
    first = day.replace(day=1)
    return Period(frequency, first, (first + timedelta(days=31)).replace(day=1) - _DAY, timezone)


def latest_ended(frequency: Frequency, timezone: str, now: datetime) -> Period:
    """The newest period whose last instant lies before ``now`` (an aware instant)."""
    return containing(now.astimezone(zone(timezone)).date(), frequency, timezone).previous


def latest_ended_by(day: date, frequency: Frequency, timezone: str) -> Period:
    """The newest period that ended on or before a local day: what ``--as-of`` means."""
    return containing(day + _DAY, frequency, timezone).previous


def parse(name: str, timezone: str) -> Period:
    """The period a user wrote as 2026-11, 2026-W47 or 2026-11-23; anything else is a ConfigurationError."""
    try:
        if re.fullmatch(r"[0-9]{4}-W[0-9]{2}", name):
            return containing(date.fromisocalendar(int(name[:4]), int(name[6:]), 1), "weekly", timezone)
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}", name):
            return containing(date.fromisoformat(f"{name}-01"), "monthly", timezone)
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", name):
            return containing(date.fromisoformat(name), "daily", timezone)
    except (ValueError, OverflowError):  # a 13th month, a 54th week, the last month that Python knows
        pass
    raise ConfigurationError(f"{name!r} is no period; write 2026-11, 2026-W47 or 2026-11-23")
