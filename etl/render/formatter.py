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
from etl.render.languages import ENGLISH, is_written

NO_RATE = "–"
_LEFT_TO_RIGHT = "\u200e"  # a mark without a width
_MAY_BREAK = "\u200b"  # likewise; the line may end at it
_LONGEST_SHORT_DAY = 8

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

    @property
    def direction(self) -> str:
        """The direction in which the language is written: ``ltr`` or ``rtl``."""
        return str(self.locale.text_direction)

    def number(self, count: int) -> str:
        """Return a count with the locale's digit grouping: 1,204."""
        return format_decimal(count, locale=self.locale)

    def _directed(self, text: str) -> str:
        """Return a number with a sign so that right-to-left text around it leaves the sign on its side."""
        return f"{_LEFT_TO_RIGHT}{text}{_LEFT_TO_RIGHT}" if self.direction == "rtl" else text

    def percent(self, rate: float | Decimal | None) -> str:
        """Return a rate (0..1) in per cent with one decimal, rounded half up; for None a dash, never 0 %."""
        if rate is None:
            return NO_RATE
        rounded = Decimal(str(rate)).quantize(Decimal("0.001"), ROUND_HALF_UP)
        pattern = self.locale.percent_formats[None].pattern.replace("##0", "##0.0")
        return self._directed(format_percent(rounded, format=pattern, locale=self.locale))

    def signed(self, count: int) -> str:
        """Return a change with its sign: +1,204 or a minus and 5."""
        return self._directed(_with_sign(count, self.number(abs(count))))

    def signed_percent(self, change: float) -> str:
        """Return a relative change in per cent with its sign: +52.4%."""
        return self._directed(_with_sign(change, self.percent(abs(change)).strip(_LEFT_TO_RIGHT)))

    def points(self, change: float) -> str:
        """Return the difference of two rates (0..1) in percentage points with its sign and one decimal: +12.3."""
        points = (Decimal(str(abs(change))) * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
        return self._directed(_with_sign(change, format_decimal(points, format="#,##0.0", locale=self.locale)))

    def whole_percent(self, rate: float) -> str:
        """Return a rate that is a rule, such as a limit, in whole per cent."""
        return format_percent(rate, locale=self.locale)

    def day(self, day: str) -> str:
        """Return a local date (``2026-11-30``) as text: 30 Nov 2026."""
        return format_date(date.fromisoformat(day), "medium", self.locale)

    def short_day(self, day: str) -> str:
        """Return a local date without its year: 30 Nov; 30/11 in languages without short names of months."""
        longest = format_skeleton("MMMd", date(2026, 9, 30), locale=self.locale)
        form = "MMMd" if len(longest) <= _LONGEST_SHORT_DAY else "Md"
        return format_skeleton(form, date.fromisoformat(day), locale=self.locale).replace("/", f"/{_MAY_BREAK}")

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

    A locale whose language has no catalogue of translations falls back to ``en``: words and numbers are of one language.
    """
    try:
        parsed = Locale.parse(locale, sep="-")
    except (UnknownLocaleError, ValueError):
        parsed = Locale(ENGLISH)
    return Formatter(parsed if is_written(parsed) else Locale(ENGLISH), zone(timezone))


def _with_sign(value: float, text: str) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{text}"


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
