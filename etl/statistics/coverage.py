"""Coverage: which slices are loaded, which are missing, and how far the data of each source reach."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, time, timedelta

from etl.periods import Period
from etl.settings import Settings, Source
from etl.statistics.metric_catalogue import attribution
from etl.warehouse import EVERYTHING, Row, Warehouse

FOR_EVER = date.max - timedelta(days=1)

Waivers = Collection[tuple[str, date, str]]
"""Slices that will never come: source, day, and the reason that reports print."""

_DAY = timedelta(days=1)
_WHOLE = ("loaded", "empty")
_ODDITY_LIMITS = {"duplicate_rate_maximum", "unattributed_rate_maximum", "volume_factor"}
_ODDITIES = {
    "another_day": (
        "{found_count} of {compared_count} events are not of its day, most of them of {found_date}, {offset} from it; if its"
        " files are named for the day on which they were closed, write {{next_day:...}} in the pattern instead of {{day:...}}"
    ),
    "duplicates": "{found_count} of {compared_count} records are duplicates",
    "unattributed": "{found_count} of {compared_count} events belong to no recipient of the registry",
    "volume": "{found_count} raw records; the nights before had {compared_count} on average",
}


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
    return [_ODDITIES[row["oddity"]].format(**row, offset=_offset(day, row["found_date"])) for row in rows]


def _offset(day: date, other: date | None) -> str:
    """Return how far another day is from a slice's own, as "+1 days"; '' without another day."""
    return f"{(other - day).days:+} days" if other else ""


def whole_through(warehouse: Warehouse, settings: Settings, waivers: Waivers) -> date | None:
    """Return the last UTC day up to which every expected slice is loaded, empty by permission, or waived.

    Return None while nothing is loaded, and FOR_EVER if every source has ended and is whole.
    """
    held = warehouse.rows("held_slices", source=None, load_date=None)
    if not any(_is_whole(row) for row in held):
        return None
    through = _through_by_source(settings, held, waivers)
    ended = {name for name, source, _ in _starts(settings, held) if source.until and through[name] == source.until}
    return min((day for name, day in through.items() if name not in ended), default=FOR_EVER)


def through_by_source(warehouse: Warehouse, settings: Settings, waivers: Waivers) -> dict[str, date | None]:
    """Return the last day up to which each configured source is whole; None where it is not whole at all."""
    held = warehouse.rows("held_slices", source=None, load_date=None)
    reached = _through_by_source(settings, held, waivers)
    starts = {name: start for name, _, start in _starts(settings, held)}
    return {
        name: reached[name] if name in starts and reached[name] >= starts[name] else None for name in settings.sources
    }


def mail_logs_begin(warehouse: Warehouse, settings: Settings, mail_sources: Collection[str]) -> date | None:
    """Return the first day that a mail log is expected to cover; None without any mail log."""
    held = warehouse.rows("held_slices", source=None, load_date=None)
    return min((start for name, _, start in _starts(settings, held) if name in mail_sources), default=None)


def claim_logs_begin(warehouse: Warehouse, settings: Settings, mail_sources: Collection[str]) -> date | None:
    """Return the first day that a log of claims is expected to cover. Where every source is a mail log, any of them is one."""
    held = warehouse.rows("held_slices", source=None, load_date=None)
    starts = [(name, start) for name, _, start in _starts(settings, held)]
    views = [start for name, start in starts if name not in mail_sources]
    return min(views or [start for _, start in starts], default=None)


def received(warehouse: Warehouse, period: Period) -> Row:
    """Return what the logs of a period's UTC days brought: records by what became of them, and events by attribution."""
    first, last = _utc_days(period)
    counts = attribution(warehouse, first, last)
    counts["distinct_event_count"] = counts.pop("event_count")
    return warehouse.rows("received_records", first_date=first, last_date=last)[0] | counts


def _utc_days(period: Period) -> tuple[date, date]:
    """Return the first and the last UTC day that a period touches."""
    return period.start_at.date(), (period.end_at - timedelta.resolution).date()


def _through_by_source(settings: Settings, held: list[Row], waivers: Waivers) -> dict[str, date]:
    """Return the last day up to which each source is whole; the day before its first where it has none."""
    whole = {(row["source"], row["load_date"]) for row in held if _is_whole(row)}
    whole |= {(source, day) for source, day, _ in waivers}
    return {name: _whole_from(name, source, start, whole) for name, source, start in _starts(settings, held)}


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


def _whole_from(name: str, source: Source, day: date, whole: Collection[tuple[str, date]]) -> date:
    while (name, day) in whole and not (source.until and day > source.until):
        day += _DAY
    return day - _DAY


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


def quality(
    warehouse: Warehouse,
    settings: Settings,
    period: Period,
    waivers: Waivers,
    today: date,
    mail_sources: Collection[str],
    records: Mapping[str, int],
) -> Row:
    """Return what the figures rest on, over every UTC day that begins before the period's end.

    ``whole_through`` is how far the data reach, whatever was loaded last; ``sources`` says it of each source. A period is
    complete where it is whole and no source began after its first day. ``slices`` and ``records`` (of ``received``) are of
    the UTC days that the period touches.
    """
    needed = (period.end_at - timedelta.resolution).date()
    through = whole_through(warehouse, settings, waivers)
    is_whole = through is not None and through >= needed and needed < today
    held = warehouse.rows("held_slices", source=None, load_date=None)
    starts = {name: start for name, _, start in _starts(settings, held)}
    reached = _through_by_source(settings, held, waivers)
    expected = set(_expected(settings, held, min(needed, today - _DAY)))
    rows = {(row["source"], row["load_date"]): row for row in _merged(held, settings, waivers, today)}
    return {
        "is_whole": is_whole,
        "is_complete": is_whole and all(start <= period.start_at.date() for start in starts.values()),
        "logs_begin": max(starts.values(), default=None),
        "mail_logs_begin": mail_logs_begin(warehouse, settings, mail_sources),
        "claim_logs_begin": claim_logs_begin(warehouse, settings, mail_sources),
        "whole_through": max(reached.values(), default=None) if through == FOR_EVER else through,
        "last_loaded_at": warehouse.rows("last_load")[0]["last_loaded_at"],
        "sources": [
            {"source": name, "through": reached[name] if reached[name] >= start else None}
            for name, start in sorted(starts.items())
        ],
        "slices": _slice_counts(period, expected, rows),
        "records": records,
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


def _slice_counts(
    period: Period, expected: Collection[tuple[str, date]], rows: Mapping[tuple[str, date], Row]
) -> dict[str, int]:
    """Return how many slices of a period's days are expected, and of them whole, waived and missing."""
    first, last = _utc_days(period)
    of_period = [rows[source, day] for source, day in expected if first <= day <= last]
    waived = sum(row["status"] == "waived" for row in of_period)
    whole = sum(_is_whole(row) for row in of_period)
    return {
        "expected_count": len(of_period),
        "whole_count": whole,
        "waived_count": waived,
        "missing_count": len(of_period) - whole - waived,
    }
