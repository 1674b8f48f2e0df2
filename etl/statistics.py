"""The stage statistics: query the warehouse for any instant, and land the figures of a report.

Every figure is computed in SQL. This module binds parameters, joins results, and compares the loaded slices with those
that the configuration expects. Times are naive UTC; in the figures document they are text with ``Z``.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast

from etl import figures as documents
from etl.errors import UnknownName
from etl.figures import Figures, ListedSubscription
from etl.landing import Landing
from etl.periods import Period, period_end
from etl.settings import Settings, Source
from etl.warehouse import EVERYTHING, Row, Warehouse

METRIC_CATALOGUE_VERSION = 1
FOR_EVER = date.max - timedelta(days=1)

Waivers = Collection[tuple[str, date, str]]
"""Slices that will never come: source, day, and the reason that reports print."""

_DAY = timedelta(days=1)
_WHOLE = ("loaded", "empty")
_ODDITY_LIMITS = {"duplicate_rate_maximum", "unattributed_rate_maximum", "volume_factor"}
_ODDITIES = {
    "duplicates": "{found_count} of {compared_count} records are duplicates",
    "unattributed": "{found_count} of {compared_count} events belong to no recipient of the registry",
    "volume": "{found_count} raw records; the nights before had {compared_count} on average",
}


def refresh(warehouse: Warehouse, settings: Settings) -> None:
    """Recompute the stored figures of the certificates that a load touched, or of all if a setting changed."""
    rules = json.dumps({"metric_catalogue_version": METRIC_CATALOGUE_VERSION, **_rules(settings)})
    warehouse.refresh(rules, **EVERYTHING, **_rules(settings))


def catalogue(
    warehouse: Warehouse, settings: Settings, as_of: date, timezone: str, issuer: str | None, certificate: str | None
) -> list[Row]:
    """Return the metric catalogue: one row per certificate that existed at the end of the local day, by certificate_id.

    Raise UnknownName if the registry does not have the issuer or the certificate.
    """
    _require(warehouse, "issuer", issuer)
    _require(warehouse, "certificate", certificate)
    bounds = _bounds(settings, period_end(as_of, timezone), issuer, certificate)
    return _with_shares(warehouse, warehouse.rows("metric_catalogue", **bounds), as_of, bounds)


def recipients(warehouse: Warehouse, settings: Settings, as_of: date, timezone: str, certificate: str) -> list[Row]:
    """Return one row per recipient of a certificate at the end of the local day, by recipient_id.

    Raise UnknownName if the registry does not have the certificate.
    """
    _require(warehouse, "certificate", certificate)
    bounds = _bounds(settings, period_end(as_of, timezone), None, certificate)
    return [
        {name: value for name, value in row.items() if name != "certificate_id"}
        for row in warehouse.rows("listed_recipients", **bounds)
    ]


def subscriptions(warehouse: Warehouse) -> list[ListedSubscription]:
    """Return the subscriptions of the latest registry, by subscription_id."""
    return cast("list[ListedSubscription]", warehouse.rows("listed_subscriptions"))


def attribution(warehouse: Warehouse) -> Row:
    """Return the number of distinct events, of those without a recipient, and of those that name another certificate."""
    return warehouse.rows("attribution", **EVERYTHING)[0]


def slices(
    warehouse: Warehouse,
    settings: Settings,
    waivers: Waivers,
    today: date,
    first: date | None = None,
    last: date | None = None,
) -> list[Row]:
    """Return one row per slice that was tried or is expected up to yesterday, from first to last, by day and source."""
    rows = _merged(warehouse.rows("listed_slices", **EVERYTHING), settings, waivers, today)
    return [row for row in rows if (first or date.min) <= row["load_date"] <= (last or date.max)]


def failed_slices(warehouse: Warehouse) -> set[tuple[str, date]]:
    """Return the (source, day) of each slice that was tried and of which nothing is loaded."""
    held = warehouse.rows("held_slices", source=None, load_date=None)
    return {(row["source"], row["load_date"]) for row in held if row["status"] == "failed"}


def oddities(warehouse: Warehouse, settings: Settings, source: str, day: date) -> list[str]:
    """Return what is unusual about a loaded slice, by the limits of ``[validation]``: a sentence each, without full stop."""
    limits = settings.validation.model_dump(include=_ODDITY_LIMITS)
    rows = warehouse.rows("slice_oddities", **EVERYTHING | {"source": source, "load_date": day}, **limits)
    return [_ODDITIES[row["oddity"]].format(**row) for row in rows]


def whole_through(warehouse: Warehouse, settings: Settings, waivers: Waivers) -> date | None:
    """Return the last UTC day up to which every expected slice is loaded, empty by permission, or waived.

    Return None while nothing is loaded, and FOR_EVER if every source has ended and is whole.
    """
    held = warehouse.rows("held_slices", source=None, load_date=None)
    whole = {(row["source"], row["load_date"]) for row in held if _is_whole(row)}
    if not whole:
        return None
    whole |= {(source, day) for source, day, _ in waivers}
    gaps = [_first_gap(name, source, start, whole) for name, source, start in _starts(settings, held)]
    return min((gap - _DAY for gap in gaps if gap), default=FOR_EVER)


def land_figures(
    warehouse: Warehouse,
    landing: Landing,
    settings: Settings,
    subscription: Mapping[str, Any],
    period: Period,
    waivers: Waivers,
    today: date,
) -> str:
    """Land all that one report shows as ``reports/<subscription_id>/<period>/figures.json``; return its path.

    ``subscription`` is a row of ``subscriptions``.
    """
    document = figures(warehouse, settings, subscription, period, waivers, today)
    path = landing.path("reports", subscription["subscription_id"], period.name, "figures.json")
    landing.write(path, documents.serialise(document))
    return path


def figures(
    warehouse: Warehouse,
    settings: Settings,
    subscription: Mapping[str, Any],
    period: Period,
    waivers: Waivers,
    today: date,
) -> Figures:
    """Return all that one report shows. Raise UnknownName if the registry no longer has its issuer."""
    issuer = warehouse.rows("issuer", issuer_id=subscription["issuer_id"])
    if not issuer:
        raise UnknownName("issuer", subscription["issuer_id"])
    bounds = _bounds(settings, period.end_at, subscription["issuer_id"])
    catalogue_rows = _with_shares(warehouse, warehouse.rows("certificate_figures", **bounds), period.last, bounds)
    document: Figures = _as_text(
        {
            "metric_catalogue_version": METRIC_CATALOGUE_VERSION,
            "subscription": {name: subscription[name] for name in documents.Subscription.__annotations__},
            "issuer": issuer[0],
            "period": _described(period),
            "counts_share_links": settings.credential.count_share_links,
            "quality": _quality(warehouse, settings, period, waivers, today),
            "totals": warehouse.rows("totals", **bounds)[0],
            "certificates": _with_reasons(warehouse, catalogue_rows, bounds),
            "recipients": warehouse.rows("listed_recipients", **bounds),
        }
    )
    return document


def _bounds(settings: Settings, end: datetime, issuer: str | None = None, certificate: str | None = None) -> Row:
    scope = {"period_end": end, "issuer_id": issuer, "certificate_id": certificate}
    return EVERYTHING | scope | _rules(settings)


def _rules(settings: Settings) -> Row:
    """Return the settings that figures depend on, as parameters of the SQL."""
    hosts = "".join(f"{host.lower()}|" for host in settings.credential.hosts)
    return {
        "credential_hosts": hosts and f"|{hosts}",
        "count_share_links": settings.credential.count_share_links,
        **settings.machines.model_dump(),
    }


def _require(warehouse: Warehouse, kind: str, name: str | None) -> None:
    if name is not None and not warehouse.rows("registered_names", kind=kind, name=name):
        raise UnknownName(kind, name)


def _with_shares(warehouse: Warehouse, rows: list[Row], as_of: date, bounds: Row) -> list[Row]:
    shares: dict[str, dict[str, int]] = defaultdict(dict)
    for row in warehouse.rows("channel_shares", **bounds):
        shares[row["certificate_id"]][row["channel"]] = row["recipients_count"]
    keys = ("certificate_id", "name", "kind", "issuer_id", "created_at")
    return [
        {key: row[key] for key in keys} | {"as_of_date": as_of, "shares": shares[row["certificate_id"]]} | row
        for row in rows
    ]


def _with_reasons(warehouse: Warehouse, rows: list[Row], bounds: Row) -> list[Row]:
    """Add to each row the rules that recognised a machine: recipients by event type and rule."""
    reasons: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: {"opened": {}, "clicked": {}})
    for row in warehouse.rows("machine_reasons", **bounds):
        reasons[row["certificate_id"]][row["event_type"]][row["machine_reason"]] = row["recipients_count"]
    return [row | {"machine_reasons": reasons[row["certificate_id"]]} for row in rows]


def _starts(settings: Settings, held: list[Row]) -> Iterator[tuple[str, Source, date]]:
    """Yield each source with its first expected day: its ``since``, or else its first loaded day."""
    for name, source in settings.sources.items():
        loaded = [row["load_date"] for row in held if row["source"] == name and row["status"] in _WHOLE]
        start = source.since or min(loaded, default=None)
        if start:
            yield name, source, start


def _expected(settings: Settings, held: list[Row], last: date) -> Iterator[tuple[str, date]]:
    for name, source, start in _starts(settings, held):
        for number in range((min(last, source.until or last) - start).days + 1):
            yield name, start + number * _DAY


def _is_whole(row: Row) -> bool:
    """Tell whether a slice is complete. One that was loaded before its day was over is not."""
    return row["status"] in _WHOLE and row["loaded_at"] >= datetime.combine(row["load_date"] + _DAY, time())


def _first_gap(name: str, source: Source, day: date, whole: Collection[tuple[str, date]]) -> date | None:
    while (name, day) in whole:
        day += _DAY
    return None if source.until and day > source.until else day


def _merged(held: list[Row], settings: Settings, waivers: Waivers, today: date) -> list[Row]:
    """Return the slices of the warehouse, those missing up to yesterday, and those waived, by day and source."""
    rows = {(row["source"], row["load_date"]): row for row in held}
    for source, day in _expected(settings, held, today - _DAY):
        rows.setdefault((source, day), _missing(source, day))
    for source, day, _ in waivers:
        if (source, day) in rows and rows[source, day]["status"] not in _WHOLE:
            rows[source, day] = rows[source, day] | {"status": "waived"}
    return sorted(rows.values(), key=lambda row: (row["load_date"], row["source"]))


def _missing(source: str, day: date) -> Row:
    counts = ("raw_count", "event_count", "reject_count", "ignored_count", "duplicate_count", "unattributed_count")
    nothing = {"source": source, "load_date": day, "status": "missing", "last_error": None}
    return nothing | dict.fromkeys(counts, 0) | {"loaded_at": None}


def _described(period: Period) -> Row:
    return {
        "name": period.name,
        "frequency": period.frequency,
        "timezone": period.timezone,
        "first_date": period.first,
        "last_date": period.last,
        "start_at": period.start_at,
        "end_at": period.end_at,
    }


def _quality(warehouse: Warehouse, settings: Settings, period: Period, waivers: Waivers, today: date) -> Row:
    """Return how complete the data are, over every UTC day that begins before the period's end."""
    needed = (period.end_at - timedelta.resolution).date()
    through = whole_through(warehouse, settings, waivers)
    is_whole = through is not None and through >= needed and needed < today
    loaded_at = warehouse.rows("data_through")[0]["data_through_at"]
    held = warehouse.rows("held_slices", source=None, load_date=None)
    expected = set(_expected(settings, held, min(needed, today - _DAY)))
    rows = {(row["source"], row["load_date"]): row for row in _merged(held, settings, waivers, today)}
    return {
        "is_whole": is_whole,
        "whole_through": min(through, loaded_at.date()) if through and loaded_at else through,
        "data_through_at": loaded_at,
        "missing": [
            {"source": source, "day": day}
            for (source, day), row in rows.items()
            if (source, day) in expected and row["status"] != "waived" and not _is_whole(row) and not is_whole
        ],
        "waived": [
            {"source": source, "day": day, "reason": reason}
            for source, day, reason in sorted(waivers, key=lambda waiver: (waiver[1], waiver[0]))
            if (source, day) in expected and rows[source, day]["status"] == "waived"
        ],
    }


def _as_text(value: Any) -> Any:
    """Return a value with all its dates and times written as in the figures document."""
    if isinstance(value, dict):
        return {name: _as_text(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_as_text(part) for part in value]
    if isinstance(value, datetime):
        return f"{(value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None).isoformat()}Z"
    return value.isoformat() if isinstance(value, date) else value
