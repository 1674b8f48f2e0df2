"""A night that a person asks for: which days, and of which sources. What makes no sense is refused before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from etl import periods
from etl.errors import ConfigurationError
from etl.pipeline.context import Context
from etl.settings import Source

LONGEST_DAYS = 400
"""Days of one request. A year and what is late of it fit in."""


@dataclass(frozen=True)
class NightRequest:
    """A request for the days from first to last, both included, of the named sources; of all sources without a name."""

    first: date
    last: date
    sources: tuple[str, ...] = ()

    def check(self, context: Context, today: date) -> None:
        """Raise a ConfigurationError for days that go backwards, are too many, lie ahead, or that no source covers.

        The same holds for a source that is not configured.
        """
        wanted = {name: context.source(name) for name in self.sources or context.settings.sources}
        if self.last < self.first:
            raise ConfigurationError(
                f"the last day {self.last} lies before the first, {self.first}; the days go forward"
            )
        if self.last > today:
            raise ConfigurationError(f"{self.last} lies ahead; the last day that can be loaded is {today}")
        count = (self.last - self.first).days + 1
        if count > LONGEST_DAYS:
            raise ConfigurationError(f"these are {count:,} days; name at most {LONGEST_DAYS} in one run")
        for names in [[name] for name in self.sources] or [list(wanted)]:
            self._require_covered(", ".join(names), [wanted[name] for name in names])

    def _require_covered(self, names: str, sources: Sequence[Source]) -> None:
        since = min((source.since or date.min for source in sources), default=date.min)
        until = max((source.until or date.max for source in sources), default=date.max)
        if self.first < since:
            raise ConfigurationError(
                f"{self.first} lies before {since}, the first day that is expected of {names}; name a later day, or"
                " change since"
            )
        if self.last > until:
            raise ConfigurationError(
                f"{self.last} lies after {until}, the last day that is expected of {names}; name an earlier day, or"
                " change until"
            )


def night_request(first: date, last: str | None, sources: Sequence[str] | None) -> NightRequest:
    """Return the request that a form makes: its first day, the text of its last, and its sources."""
    return NightRequest(first, periods.parse_day(last) if last else first, tuple(dict.fromkeys(sources or ())))
