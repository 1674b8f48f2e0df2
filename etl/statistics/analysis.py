"""What a report says beyond the catalogue: how sure a rate is, how fast recipients claim, where mails fail, and the trend.

Every figure is computed in SQL. This module binds the boundaries of weeks and months, and joins the rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from etl.periods import Period, first_days, latest_up_to, midnight
from etl.warehouse import Row, Warehouse

PEER_RULE = {"peer_days": 7, "peer_recipients": 20}
"""Certificates are compared by what recipients did in so many days, and with those that have so many such recipients."""

MOST_DOMAINS = 5
MOST_COHORTS = 3
_EARLIER = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def intervals(warehouse: Warehouse, parts: Row) -> dict[str, Row]:
    """Return the 95 % intervals of each certificate: low_rate and high_rate by measure."""
    return _by_measure(warehouse.rows("rate_intervals", **parts))


def peers(warehouse: Warehouse, parts: Row, claims: Row) -> dict[str, Row]:
    """Return each certificate beside the issuer's other certificates, by measure."""
    return _by_measure(warehouse.rows("certificate_peers", **parts, **claims, **PEER_RULE))


def needs(warehouse: Warehouse, todos: Row, period: Period) -> dict[str, Row]:
    """Return how many claims each certificate can gain, and how many of its recipients changed in the period."""
    rows = warehouse.rows("certificate_needs", **todos, period_start=period.start_at)
    return {row.pop("certificate_id"): row for row in rows}


def cohorts(warehouse: Warehouse, scope: Row, claims: Row, period: Period) -> dict[str, list[Row]]:
    """Return the issue cohorts of each certificate: all that are older than the latest, the latest, and all together.

    A cohort without ``first_date`` has everybody before ``last_date``, and the one without both has everybody.
    """
    latest = latest_up_to(period, MOST_COHORTS)
    boundaries = [_EARLIER, *(one.start_at for one in latest), period.end_at]
    days: list[tuple[date | None, date | None]] = [(None, latest[0].first - _DAY)]
    days += [(one.first, min(one.last, period.last)) for one in latest]
    found: dict[str, list[Row]] = defaultdict(list)
    for row in warehouse.rows("claim_cohorts", **scope, **claims, boundaries=_written(boundaries)):
        number = row.pop("span_number")
        first, last = (None, None) if number is None else days[number]
        found[row.pop("certificate_id")].append({"first_date": first, "last_date": last} | row)
    return found


def trend(warehouse: Warehouse, scope: Row, claims: Row, period: Period) -> list[Row]:
    """Return what happened in each of the last 14 days for a daily report, else in the last 12 weeks, oldest first."""
    length, count = (1, 14) if period.frequency == "daily" else (7, 12)
    days = first_days(period.last, length, count)
    boundaries = [midnight(day, period.timezone) for day in (*days, period.last + _DAY)]
    rows = warehouse.rows("trend", **scope, **claims, boundaries=_written(boundaries))
    return [_dated(days[row.pop("span_number")], length) | row for row in rows]


def domains(warehouse: Warehouse, scope: Row) -> list[Row]:
    """Return the receiving domains with the most mails, and the sum of the others."""
    return warehouse.rows("receiving_domains", **scope, most_domains=MOST_DOMAINS)


def _dated(first: date, length: int) -> Row:
    return {"first_date": first, "last_date": first + (length - 1) * _DAY}


def _written(boundaries: Sequence[datetime]) -> str:
    """Return instants as the query ``spans`` reads them."""
    return "|".join(f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" for at in boundaries)


def _by_measure(rows: Iterable[dict[str, Any]]) -> dict[str, Row]:
    """Return rows by certificate and measure."""
    found: dict[str, Row] = defaultdict(dict)
    for row in rows:
        found[row.pop("certificate_id")][row.pop("measure")] = row
    return found
