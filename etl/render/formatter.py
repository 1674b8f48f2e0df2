"""Numbers, rates, days and times as text, in the subscription's locale and the period's time zone."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import UnknownLocaleError, get_global, parse_locale
from babel.dates import format_date, format_interval, format_skeleton
from babel.numbers import format_decimal, format_percent

from etl.periods import zone

NO_RATE = "–"

# Control characters, line breaks, and the marks that change the direction of the text after them.
_CONTROLS = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Formatter:
    """A locale and a time zone. Each method returns one kind of value of the figures document as text."""

    locale: Locale
    zone: ZoneInfo

    @property
    def language(self) -> str:
        """The language tag of the words and numbers, such as ``en-GB``."""
        return str(self.locale).replace("_", "-")

    def number(self, count: int) -> str:
        """Return a count with the locale's digit grouping: 1,204."""
        return format_decimal(count, locale=self.locale)

    def percent(self, rate: float | Decimal | None) -> str:
        """Return a rate (0..1) in per cent with one decimal, rounded half up; for None a dash, never 0 %."""
        if rate is None:
            return NO_RATE
        rounded = Decimal(str(rate)).quantize(Decimal("0.001"), ROUND_HALF_UP)
        pattern = self.locale.percent_formats[None].pattern.replace("##0", "##0.0")
        return format_percent(rounded, format=pattern, locale=self.locale)

    def whole_percent(self, rate: float) -> str:
        """Return a rate that is a rule, such as a limit, in whole per cent."""
        return format_percent(rate, locale=self.locale)

    def day(self, day: str) -> str:
        """Return a local date (``2026-11-30``) as text: 30 Nov 2026."""
        return format_date(date.fromisoformat(day), "medium", self.locale)

    def short_day(self, day: str) -> str:
        """Return a local date without its year: 30 Nov."""
        return format_skeleton("MMMd", date.fromisoformat(day), locale=self.locale)

    def days(self, first: str, last: str) -> str:
        """Return a range of local dates, with a month or year that both share written once."""
        return format_interval(date.fromisoformat(first), date.fromisoformat(last), "yMMMd", locale=self.locale)

    def month(self, day: str) -> str:
        """Return the month of a local date: November 2026."""
        return format_skeleton("yMMMM", date.fromisoformat(day), locale=self.locale)

    def local_day(self, moment: str) -> str:
        """Return the local day of an instant (UTC text): 2 Dec 2026."""
        return format_date(self.local(moment).date(), "medium", self.locale)

    def moment(self, moment: str) -> str:
        """Return the local day and time of an instant (UTC text): 2 Dec 2026, 03:14."""
        clock = format_skeleton("Hm", self.local(moment), tzinfo=self.zone, locale=self.locale)
        return f"{self.local_day(moment)}, {clock}"

    def local(self, moment: str) -> datetime:
        """Return an instant (UTC text) in the subscription's zone."""
        return datetime.fromisoformat(moment).astimezone(self.zone)


def formatter(locale: str, timezone: str) -> Formatter:
    """Return the formatter of a BCP 47 locale and an IANA zone.

    Reports are written in English, so a locale of another language falls back to ``en``.
    """
    try:
        parsed = Locale.parse(locale, sep="-")
    except (UnknownLocaleError, ValueError):
        parsed = Locale("en")
    return Formatter(parsed if parsed.language == "en" else Locale("en"), zone(timezone))


def prints_on_letter(locale: str, timezone: str) -> bool:
    """Tell whether a report is printed on Letter paper: its locale or its time zone is of the US or Canada."""
    try:
        territory = parse_locale(locale, sep="-")[1]
    except ValueError:
        territory = None
    place = get_global("zone_aliases").get(timezone, timezone)
    return not {territory, get_global("zone_territories").get(place)}.isdisjoint({"US", "CA"})


def without_controls(text: str) -> str:
    """Return the text with a space for each character that would break or reorder its line."""
    return _CONTROLS.sub(" ", text)
