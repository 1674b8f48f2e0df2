"""Numbers, rates, days and times as one reader writes them: the subscription's locale, the period's zone."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_date, format_interval, format_skeleton
from babel.numbers import format_decimal, format_percent

from etl.periods import zone

NO_RATE = "–"

# Control characters, line breaks, and the marks that turn the reading of what follows them.
_CONTROLS = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Formatter:
    """Who reads: every method makes text of a value of the figures document, as it stands there."""

    locale: Locale
    zone: ZoneInfo

    @property
    def language(self) -> str:
        """The language tag of the words and numbers, such as ``en-GB``."""
        return str(self.locale).replace("_", "-")

    def number(self, count: int) -> str:
        """A count with the reader's grouping: 1,204."""
        return format_decimal(count, locale=self.locale)

    def percent(self, rate: float | Decimal | None) -> str:
        """A rate (0..1) in per cent, one decimal, half up; a dash where there is none, never 0 %."""
        if rate is None:
            return NO_RATE
        rounded = Decimal(str(rate)).quantize(Decimal("0.001"), ROUND_HALF_UP)
        pattern = self.locale.percent_formats[None].pattern.replace("##0", "##0.0")
        return format_percent(rounded, format=pattern, locale=self.locale)

    def day(self, day: str) -> str:
        """A local date (``2026-11-30``): 30 Nov 2026."""
        return format_date(date.fromisoformat(day), "medium", self.locale)

    def days(self, first: str, last: str) -> str:
        """Local dates from the first to the last, what they share said once."""
        return format_interval(date.fromisoformat(first), date.fromisoformat(last), "yMMMd", locale=self.locale)

    def month(self, day: str) -> str:
        """The month of a local date: November 2026."""
        return format_skeleton("yMMMM", date.fromisoformat(day), locale=self.locale)

    def local_day(self, moment: str) -> str:
        """The day of an instant (UTC text) in the reader's zone."""
        return format_date(self._local(moment).date(), "medium", self.locale)

    def moment(self, moment: str) -> str:
        """An instant (UTC text) in the reader's zone: 2 Dec 2026, 03:14."""
        clock = format_skeleton("Hm", self._local(moment), tzinfo=self.zone, locale=self.locale)
        return f"{self.local_day(moment)}, {clock}"

    def stamp(self, moment: str | None) -> str:
        """An instant for machines, in the reader's zone with its offset: 2026-12-02T03:14:00+01:00."""
        return self._local(moment).isoformat() if moment else ""

    def _local(self, moment: str) -> datetime:
        return datetime.fromisoformat(moment).astimezone(self.zone)


def formatter(locale: str, timezone: str) -> Formatter:
    """The reader of a BCP 47 locale and an IANA zone. The words are English, so other locales read ``en``."""
    try:
        spoken = Locale.parse(locale, sep="-")
    except (UnknownLocaleError, ValueError):
        spoken = Locale("en")
    return Formatter(spoken if spoken.language == "en" else Locale("en"), zone(timezone))


def without_controls(text: str) -> str:
    """Text that stays on its line, with a space for each character that would leave it."""
    return _CONTROLS.sub(" ", text)
