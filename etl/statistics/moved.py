"""What moved from one period to the next: exact tests of rates and volumes, corrected for all tests of a report.

SQL counts; no engine has these distributions, so the tests are here. Each is exact and at most too cautious:

- a rate by the test of R. A. Fisher (The Design of Experiments, 1935) of two proportions;
- a volume by the conditional test of J. Przyborowski and H. Wilenski (Biometrika 31, 1940, pages 313 to 323) of two Poisson
  counts, in proportion to the lengths of the periods;
- all tests of a report together by S. Holm (Scandinavian Journal of Statistics 6, 1979, pages 65 to 70).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

SIGNIFICANT = 0.05
"""The chance that a report in which nothing moved says that anything did is at most this."""

MOST_LINES = 5
FEWEST_RECIPIENTS = 5
"""A rate of fewer is not compared."""

_VOLUMES = ("claimed", "shared_or_downloaded", "added_to_linkedin")
_RATES = ("opened", "claimed", "shared_or_downloaded", "added_to_linkedin", "bounced")
_CERTIFICATE_RATES = ("claimed", "bounced")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A figure of a period beside that of the period before, and how likely such a difference is by chance.

    ``kind`` is ``rate`` or ``volume``. Of a rate, ``of_count`` and ``former_of_count`` are the recipients added in the
    period. ``certificate_id`` is None for all certificates together.
    """

    kind: str
    measure: str
    certificate_id: str | None
    count: int
    of_count: int | None
    former_count: int
    former_of_count: int | None
    p_value: float

    def described(self, adjusted: float) -> dict[str, Any]:
        """Return the line of the figures document: change is in points of a rate (0..1), of a volume relative to the former."""
        rate = self.count / self.of_count if self.of_count else None
        former_rate = self.former_count / self.former_of_count if self.former_of_count else None
        if rate is not None and former_rate is not None:
            change: float | None = rate - former_rate
        else:
            change = self.count / self.former_count - 1 if self.former_count else None
        more = {"rate": rate, "former_rate": former_rate, "change": change, "p_value": adjusted}
        return {name: value for name, value in vars(self).items() if name != "p_value"} | more


def moved(compared: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return at most ``MOST_LINES`` comparisons that are more than chance, the least likely by chance first."""
    adjusted = holm([one.p_value for one in compared])
    ranked = sorted(zip(adjusted, compared, strict=True), key=lambda pair: (pair[0], pair[1].p_value))
    return [one.described(p_value) for p_value, one in ranked[:MOST_LINES] if p_value <= SIGNIFICANT]


def compare(now: Sequence[Row], former: Sequence[Row], part_of_time: float) -> list[Comparison]:
    """Return every comparison of a report, from the rows of ``period_measures`` of a period and of the period before.

    ``part_of_time`` is the length of the period over that of both. Certificates are compared one by one where at least two
    have enough recipients; a single one is the same as all together. Where nobody had been added before the end of the former
    period, this is the first, and nothing is compared.
    """
    before = {row["certificate_id"]: row for row in former}
    if before.keys() <= {None}:
        return []
    pairs = [(row, before[row["certificate_id"]]) for row in now if row["certificate_id"] in before]
    of_certificates = [pair for pair in pairs if pair[0]["certificate_id"] is not None and all(map(_has_enough, pair))]
    found = [one for pair in pairs if pair[0]["certificate_id"] is None for one in _of_all(*pair, part_of_time)]
    if len(of_certificates) > 1:
        found += [_rate(measure, *pair) for pair in of_certificates for measure in _CERTIFICATE_RATES]
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values such that each may be compared with the level of all of them together, in the given order."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = highest
    return adjusted


def of_two_rates(count: int, of_count: int, former_count: int, former_of_count: int) -> float:
    """Return the two-sided p value of Fisher's exact test of two proportions."""
    both = count + former_count
    lowest, highest = max(0, both - former_of_count), min(both, of_count)
    steps = (
        math.log((of_count - taken) / (taken + 1) * (both - taken) / (former_of_count - both + taken + 1))
        for taken in range(lowest, highest)
    )
    return _at_most_as_likely(steps, count - lowest)


def of_two_volumes(count: int, former_count: int, part_of_time: float) -> float:
    """Return the two-sided p value that two Poisson counts have one rate: of their sum, the first is binomial."""
    both, odds = count + former_count, part_of_time / (1 - part_of_time)
    steps = (math.log((both - taken) / (taken + 1) * odds) for taken in range(both))
    return _at_most_as_likely(steps, count)


def _of_all(now: Row, former: Row, part_of_time: float) -> Iterator[Comparison]:
    for measure in _VOLUMES:
        yield _volume(measure, now, former, part_of_time)
    if _has_enough(now) and _has_enough(former):
        for measure in _RATES:
            yield _rate(measure, now, former)


def _volume(measure: str, now: Row, former: Row, part_of_time: float) -> Comparison:
    count, former_count = now[f"{measure}_volume"], former[f"{measure}_volume"]
    p_value = of_two_volumes(count, former_count, part_of_time)
    return Comparison("volume", measure, now["certificate_id"], count, None, former_count, None, p_value)


def _rate(measure: str, now: Row, former: Row) -> Comparison:
    of_both = [(row[f"{measure}_count"], row["recipients_count"]) for row in (now, former)]
    numbers = (*of_both[0], *of_both[1])
    return Comparison("rate", measure, now["certificate_id"], *numbers, of_two_rates(*numbers))


def _has_enough(row: Row) -> bool:
    return bool(row["recipients_count"] >= FEWEST_RECIPIENTS)


def _at_most_as_likely(steps: Iterable[float], seen: int) -> float:
    """Return the part of all outcomes that are at most as likely as the one seen.

    ``steps`` are the logarithms of how much likelier each outcome is than the one before it.
    """
    weights = list(accumulate(steps, initial=0.0))
    highest, limit = max(weights), weights[seen] + 1e-7  # outcomes that differ by rounding alone are equally likely
    whole = math.fsum(math.exp(weight - highest) for weight in weights)
    return min(1.0, math.fsum(math.exp(weight - highest) for weight in weights if weight <= limit) / whole)
