"""Turn dates, ISO weeks and months in a time zone into instants. No other module does so.

Everything downstream is in UTC: SQL gets naive UTC timestamps, files get timestamps with ``Z``.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from etl.errors import ConfigurationError

Frequency = Literal["daily", "weekly", "monthly"]

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2999, 12, 31)
"""The days that a user may name. At the ends of the calendar there is no day before, or after."""

_DAY = timedelta(days=1)


def zone(name: str) -> ZoneInfo:
    """Return the IANA zone of that name; raise a ConfigurationError where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigurationError(f"unknown time zone {name!r}; use an IANA name such as Europe/Berlin") from error


def midnight(day: date, timezone: str) -> datetime:
    """Return the first instant of a local day, in UTC.

    Where clocks jump over midnight, the day begins at the jump. ``fold=0`` gives that instant: it reads the skipped wall
    time with the offset before the jump.
    """
    return datetime.combine(day, time(), zone(timezone)).astimezone(UTC)


def period_end(as_of: date, timezone: str = "UTC") -> datetime:
    """Return ``T`` of the metric catalogue: the first instant after the as-of day, in UTC."""
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
        """The name as users write it: 2026-11-23, 2026-W47 or 2026-11."""
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
        """The period of the same frequency that ends where this one begins."""
        before = containing(self.first - _DAY, self.frequency, self.timezone)
        return before if before.has_instants else before.previous

    @property
    def following(self) -> "Period":
        """The period of the same frequency that begins where this one ends."""
        after = containing(self.last + _DAY, self.frequency, self.timezone)
        return after if after.has_instants else after.following

    @property
    def has_instants(self) -> bool:
        """Whether any instant lies in the period: none does on a day that clocks skipped, as in Samoa on 2011-12-30."""
        return self.start_at < self.end_at


def containing(day: date, frequency: Frequency, timezone: str) -> Period:
    """Return the period of that frequency that contains a local day."""
    if frequency == "daily":
        return Period(frequency, day, day, timezone)
    if frequency == "weekly":
        monday = day - timedelta(days=day.weekday())
        return Period(frequency, monday, monday + timedelta(days=6), timezone)
    first = day.replace(day=1)
    return Period(frequency, first, (first + timedelta(days=31)).replace(day=1) - _DAY, timezone)


def latest_ended(frequency: Frequency, timezone: str, now: datetime) -> Period:
    """Return the latest period that has ended at ``now``, an aware instant."""
    return containing(now.astimezone(zone(timezone)).date(), frequency, timezone).previous


def latest_ended_by(day: date, frequency: Frequency, timezone: str) -> Period:
    """Return the latest period whose last day is that local day or an earlier one: the meaning of ``--as-of``."""
    return containing(day + _DAY, frequency, timezone).previous


def parse_day(text: str) -> date:
    """Return the day that a user wrote as 2026-11-23; raise a ConfigurationError for any other text."""
    found = re.fullmatch(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", text)
    with suppress(ValueError):  # 30 February
        if found and FIRST_DAY <= (day := date(*map(int, found.groups()))) <= LAST_DAY:
            return day
    raise ConfigurationError(f"{text!r} is no day from {FIRST_DAY} to {LAST_DAY}; write it as 2026-11-23")


def parse(name: str, timezone: str) -> Period:
    """Return the period that a user wrote as 2026-11, 2026-W47 or 2026-11-23; raise a ConfigurationError for any other text."""
    try:
        if not FIRST_DAY.year <= int(name[:4]) <= LAST_DAY.year:
            raise ValueError(name)
        if re.fullmatch(r"[0-9]{4}-W[0-9]{2}", name):
            return containing(date.fromisocalendar(int(name[:4]), int(name[6:]), 1), "weekly", timezone)
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}", name):
            return containing(date.fromisoformat(f"{name}-01"), "monthly", timezone)
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", name):
            return containing(date.fromisoformat(name), "daily", timezone)
    except (ValueError, OverflowError):  # month 13, week 54, or the last month that Python can represent
        pass
    raise ConfigurationError(f"{name!r} is no period; write 2026-11, 2026-W47 or 2026-11-23")
