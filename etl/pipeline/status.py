"""Collect the state of the nights for one page: slices, rejects, reports, sizes, and what needs a person."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TypedDict

from etl import normalise, statistics
from etl.landing import Landing, Manifest, slice_prefix
from etl.pipeline.context import Context
from etl.pipeline.reports import DOUBTFUL_AFTER, dead_addresses, held_reports
from etl.pipeline.retention import Retention, last_retention
from etl.settings import Settings
from etl.warehouse import Row

SHOWN_DAYS = 30
NIGHT_BEGINS = timedelta(hours=2)
"""The time of day, in UTC, at which the DAG of the night starts."""

SAMPLES = 12
NAMED = 5
STATUS_PAGE = "status.html"
"""The path of the page below the landing."""

_KINDS = {"raw": "raw files", "events.parquet": "Parquet", "rejects.parquet": "Parquet", "tables": "Parquet"}


class Trouble(TypedDict):
    """Something that needs a person: what is wrong, and what to do. ``causes`` names it, the same in every night."""

    causes: list[str]
    what: str
    cure: str


class SourceState(TypedDict):
    """One source: the last day up to which it is whole, and its slices of the days shown, by day."""

    source: str
    through: str | None
    slices: dict[str, Row]


class RejectReason(TypedDict):
    """A reason for rejects in the days shown: how many, and one place as an example."""

    source: str
    day: str
    reason: str
    count: int
    example: str


class Status(TypedDict):
    """The state of the nights at one instant. Days and instants are ISO 8601 text, sizes are bytes."""

    at: str
    whole_through: str | None
    days: list[str]
    sources: list[SourceState]
    rejects: list[RejectReason]
    registry: dict[str, int]
    registry_rejects: dict[str, int]
    held: list[str]
    doubtful: list[str]
    dead_addresses: list[str]
    troubles: list[Trouble]
    sizes: dict[str, int]
    retention: Retention | None


def nights_status(context: Context, now: datetime) -> Status:
    """Return the state of the nights at an aware instant.

    A slice that was never tried is a trouble once the deadline of its night has passed.
    """
    last = (now - timedelta(days=1)).date()
    first = last - timedelta(days=SHOWN_DAYS - 1)
    due = (now - NIGHT_BEGINS - timedelta(days=1, hours=context.settings.alerts.deadline_hours)).date()
    waivers = context.waivers()
    with context.warehouse() as opened:
        every = statistics.slices(opened, context.settings, waivers, now.date())
        through = statistics.whole_through(opened, context.settings, waivers)
        by_source = statistics.through_by_source(opened, context.settings, waivers)
    shown = [row for row in every if first <= row["load_date"] <= last]
    registry = context.landing.newest("registry")
    held = held_reports(context, now)
    dead = dead_addresses(context, now)
    doubtful = [f"{each.subscription_id} {each.period}" for each in context.state.doubtful(now - DOUBTFUL_AFTER)]
    return {
        "at": now.isoformat(timespec="seconds"),
        "whole_through": str(min(through, last)) if through else None,
        "days": [str(first + timedelta(days=number)) for number in range(SHOWN_DAYS)],
        "sources": [
            {"source": name, "through": str(day) if day else None, "slices": _slices(context.landing, name, shown)}
            for name, day in by_source.items()
        ],
        "rejects": _rejects(context.landing, shown),
        "registry": registry.counts.model_dump() if registry else {},
        "registry_rejects": _registry_rejects(context.landing, registry),
        "held": held,
        "doubtful": doubtful,
        "dead_addresses": dead,
        "troubles": [
            *_slice_troubles(every, due),
            *_registry_troubles(registry),
            *_report_troubles(held, doubtful),
            *_address_troubles(dead),
        ],
        "sizes": _sizes(context.landing),
        "retention": last_retention(context.landing),
    }


def keep_status_page(context: Context, page: str) -> str:
    """Write the page into the landing, where its links lead to the validation pages; return its place."""
    path = context.landing.path(STATUS_PAGE)
    context.landing.write(path, page.encode())
    return context.landing.shown(path)


def read_status_page(settings: Settings) -> bytes | None:
    """Return the page that was written last, or None. The warehouse and the state are not opened."""
    landing = Landing(settings.landing.url)
    return landing.read(landing.path(STATUS_PAGE))


def _slices(landing: Landing, source: str, rows: list[Row]) -> dict[str, Row]:
    """Return the slices of a source by day, each with the path of its validation page below the landing, or None."""
    return {
        str(row["load_date"]): {**row, "page": _page(landing, source, row["load_date"])}
        for row in rows
        if row["source"] == source
    }


def _page(landing: Landing, source: str, day: date) -> str | None:
    newest = landing.newest(slice_prefix(source, day))
    is_checked = newest and newest.events and newest.status in ("valid", "refused")
    return f"{newest.prefix}/{str(newest.events).split('/', 1)[0]}/validation.html" if newest and is_checked else None


def _rejects(landing: Landing, rows: list[Row]) -> list[RejectReason]:
    """Return the most frequent reasons of rejects, one row per slice and reason."""
    found: list[RejectReason] = []
    for row in sorted(rows, key=lambda row: -row["reject_count"])[:SAMPLES]:
        loaded = landing.loaded(slice_prefix(row["source"], row["load_date"])) if row["reject_count"] else None
        for reason, count, file, line in normalise.reject_reasons(landing, loaded) if loaded else ():
            example = f"{file.rsplit('/', 1)[-1]}, line {line}"
            found.append(
                {
                    "source": row["source"],
                    "day": str(row["load_date"]),
                    "reason": reason,
                    "count": count,
                    "example": example,
                }
            )
    return sorted(found, key=lambda each: -each["count"])[:SAMPLES]


def _registry_rejects(landing: Landing, registry: Manifest | None) -> dict[str, int]:
    """Return how many rows of the registry are left out, by table and reason."""
    rows = normalise.reject_reasons(landing, registry, "registry/reject_reasons") if registry else []
    return {f"{table}: {reason}": count for table, reason, count in rows}


def _slice_troubles(rows: list[Row], due: date) -> Iterator[Trouble]:
    """Yield a trouble for each source and reason, with the days that it concerns."""
    wanted = [
        row for row in rows if row["status"] == "failed" or (row["status"] == "missing" and row["load_date"] <= due)
    ]
    reasons = sorted(wanted, key=lambda row: (row["source"], row["last_error"] or "", row["load_date"]))
    for (source, reason), group in groupby(reasons, key=lambda row: (row["source"], row["last_error"] or "")):
        days = [str(row["load_date"]) for row in group]
        which = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"
        yield {
            "causes": [f"{'failed ' if reason else ''}slice {source} {day}" for day in days],
            "what": f"{source} {which}: {reason or 'never tried'}",
            "cure": f"nightly --day {days[0]} --to {days[-1]} --source {source}, or waive the days that will never come",
        }


def _registry_troubles(registry: Manifest | None) -> Iterator[Trouble]:
    if registry is None:
        yield {"causes": ["registry"], "what": "no registry was ever pulled", "cure": "set [registry], and run nightly"}
    elif registry.status == "refused":
        yield {
            "causes": ["registry"],
            "what": f"the registry pulled last was refused: {registry.reason}",
            "cure": "mend the registry and run nightly; if the loss is right, nightly --replace",
        }


def _report_troubles(held: list[str], doubtful: list[str]) -> Iterator[Trouble]:
    if held:
        yield {
            "causes": [f"held {name}" for name in held],
            "what": f"held back: {_few(held, 'report')}",
            "cure": "bring or waive the missing slices; the reports then go out by themselves",
        }
    if doubtful:
        yield {
            "causes": [f"doubtful {name}" for name in doubtful],
            "what": f"in doubt: {_few(doubtful, 'delivery', 'deliveries')}",
            "cure": "look for the Message-ID at the mail server; if it never left, reports --send --resend with its period",
        }


def _address_troubles(dead: list[str]) -> Iterator[Trouble]:
    if dead:
        yield {
            "causes": [f"dead address {name}" for name in dead],
            "what": f"the address was refused for good: {_few(dead, 'subscription')}",
            "cure": "name another address in the registry; if this one works again, reports --send --resend with a period",
        }


def _few(names: list[str], one: str, many: str | None = None) -> str:
    """Return a count with the first names."""
    shown = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    return f"{len(names)} {one if len(names) == 1 else many or one + 's'} ({shown})"


def _sizes(landing: Landing) -> dict[str, int]:
    """Return the bytes in the landing by kind: raw files, Parquet, reports, and the rest."""
    sizes = Counter[str]()
    for path, size in landing.files():
        parts = path.split("/")
        kind = "reports" if parts[0] == "reports" else next((_KINDS[part] for part in parts if part in _KINDS), "other")
        sizes[kind] += size
    return dict(sizes)
