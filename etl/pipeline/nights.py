"""Run the steps of a night: the registry, then each slice from its raw bytes to the figures."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from etl import extract, load, normalise, periods, statistics, validate
from etl.errors import (
    AnalyticsError,
    ConfigurationError,
    DamagedFile,
    LandingError,
    RefusedRegistry,
    RegistryError,
    SliceError,
    refusal_of,
)
from etl.landing import Counts, Manifest, slice_prefix
from etl.normalise import registry
from etl.pipeline.context import Context, now_utc
from etl.pipeline.failures import of_registry, recorded, refuse_newest
from etl.settings import Source
from etl.warehouse import Row, Warehouse

NIGHT_STARTS = "02:00:00"
"""The time of day, in UTC, of a scheduled run's logical date."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SliceResult:
    """The result of one step on a slice: size and counts of the landed version, duration, and warnings."""

    step: str
    source: str
    day: date
    files: int
    bytes: int
    counts: Counts
    seconds: float
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Describe the result on one line."""
        return f"{self.source} {self.day}: {self._found()}"

    def _found(self) -> str:
        if self.step == "extract":
            return f"{self.files} files, {self.bytes:,} bytes"
        counts = self.counts
        return (
            f"{counts.event} events, {counts.duplicate} duplicates, {counts.reject} rejects, {counts.ignored} ignored"
        )

    def facts(self, now: datetime | None = None) -> dict[str, str | int | float]:
        """Return the result as names and values: what was landed, or what was loaded at an aware instant.

        The lag is the hours from the end of the slice's day to that instant.
        """
        of = {"source": self.source, "day": str(self.day)}
        if now is None:
            return {**of, "files": self.files, "bytes": self.bytes}
        share = self.counts.reject / self.counts.raw if self.counts.raw else 0.0
        return {
            **of,
            "rows": self.counts.event,
            "reject_share": round(share, 4),
            "lag_hours": _hours_since(self.day, now),
        }

    def log(self) -> "SliceResult":
        """Log the result with its seconds, and a warning for everything unusual; return the result."""
        _log.info("%s %s in %.1f s", self.step, self, self.seconds)
        for warning in self.warnings:
            _log.warning("%s %s: %s", self.source, self.day, warning)
        return self


def pull_registry(context: Context, *, from_landing: bool = False, replace: bool = False) -> Manifest:
    """Load the registry, as it is now, into the warehouse unless it holds it; return the manifest of that version.

    With ``from_landing`` take the version that was landed before. A registry that lost too many rows is refused, unless
    ``replace``. Of several runs one pulls at a time; the others wait.
    """
    started = time.monotonic()
    with of_registry(), context.state.lock("registry"):
        if from_landing:
            landed = extract.reuse_registry(context.landing)
        else:
            landed = extract.pull_registry(context.landing, context.settings.registry, context.lookup)
        manifest = _unchanged_registry(context, landed)
        if manifest is None:
            manifest = _normalised_registry(context, replace=replace)
            with context.warehouse() as opened:
                load.load_registry(opened, context.landing)
        context.landing.sweep("registry", before=swept_before(context, now_utc()))
    for warning in manifest.warnings:
        _log.warning("registry: %s", warning)
    counts = manifest.counts
    _log.info("registry: %d rows, %d left out in %.1f s", counts.event, counts.reject, time.monotonic() - started)
    return manifest


def _unchanged_registry(context: Context, landed: Manifest) -> Manifest | None:
    """Return the manifest of the loaded registry where the landed one would make the same tables, else None."""
    known = registry.fingerprint(landed, hash_key=context.hash_key, forgotten=context.state.forgotten())
    with context.warehouse() as opened:
        return load.keep_registry(opened, context.landing, known)


def _normalised_registry(context: Context, *, replace: bool) -> Manifest:
    try:
        return registry.normalise_registry(
            context.landing,
            context.settings.normalise,
            hash_key=context.hash_key,
            forgotten=context.state.forgotten(),
            replace=replace,
        )
    except RegistryError as error:
        refuse_newest(context, "registry", str(error))
        raise RefusedRegistry(str(error)) from None


def day_of_run(wanted: date | None, dated: datetime | None, run_after: datetime) -> date:
    """Return the UTC day that a run loads: the wanted day, else that of its logical date, else the last that is over.

    ``dated`` is the logical date, ``run_after`` the instant from which the run may start. A logical date of today stands
    for the last day that is over, because Airflow's form fills in the present. Raise a ConfigurationError for a run that
    has the date of a night and would load another day: Airflow takes it for the run of that night, which is then never
    loaded.
    """
    today = run_after.astimezone(UTC).date()
    over = today - timedelta(days=1)
    if dated is None:
        return wanted or over
    moment = dated.astimezone(UTC)
    day = wanted or min(moment.date(), over)
    if moment.time().isoformat() == NIGHT_STARTS and day != moment.date():
        raise ConfigurationError(
            f"the run has the date of the night of {moment.date()} but would load {day}; leave out the day, or trigger a"
            " run without a logical date"
        )
    if moment.date() > today and not wanted:
        raise ConfigurationError(f"{moment.date()} is not over; leave out the logical date, or write an earlier one")
    return day


def is_expected(source: Source, day: date) -> bool:
    """Tell whether the source covers that day."""
    return (source.since or date.min) <= day <= (source.until or date.max)


def slices_to_bring(
    context: Context, names: Sequence[str] | None, first: date, last: date, *, from_landing: bool
) -> list[tuple[str, date]]:
    """Return the slices to load for some days: first the late slices of earlier days, then those of the days themselves.

    They belong to the named sources, or to all sources that cover a day. A late slice is on one of the ``late_days``
    before the first day, was loaded or failed, and may have more events by now. With ``from_landing`` there are no late
    slices, because nothing is pulled.
    """
    sources = {name: context.source(name) for name in names or context.settings.sources}
    late = [] if from_landing else list(_late(context, sources, first))
    asked = [(name, day) for day in days(first, last) for name in sources]
    return [(name, day) for name, day in (*late, *asked) if names or is_expected(sources[name], day)]


def _late(context: Context, sources: Mapping[str, Source], first: date) -> Iterator[tuple[str, date]]:
    with context.warehouse() as opened:
        failed = statistics.failed_slices(opened)
    has_more, today = partial(extract.has_more, context.landing), now_utc().date()
    for name, source in sources.items():
        for day in days(first - timedelta(days=source.late_days), first - timedelta(days=1)):
            try:
                is_late = has_more(name, source, day, today=today, has_failed=(name, day) in failed)
            except DamagedFile:  # to extract the slice again writes its manifests anew
                is_late = True
            if is_late:
                yield name, day


def extract_slice(
    context: Context, name: str, day: date, *, from_landing: bool = False, replace: bool = False
) -> SliceResult:
    """Land the raw records of a slice, or with ``from_landing`` take those that were landed before."""
    started, source = time.monotonic(), context.source(name)
    with _slice_lock(context, name, day), recorded(context, name, day, is_landed=False):
        if from_landing:
            manifest = extract.reuse_landed(context.landing, name, day)
        else:
            today = now_utc().date()
            manifest = extract.extract_slice(
                context.landing, name, source, day, context.lookup, today=today, replace=replace
            )
    return _result("extract", name, day, manifest, started)


def normalise_slice(
    context: Context, name: str, day: date, *, from_landing: bool = False, replace: bool = False
) -> SliceResult:
    """Turn the raw records of a slice into events and rejects. Like each later step, first run the steps that it lacks."""
    limits, source = context.settings.normalise, context.source(name)
    with _slice_lock(context, name, day):
        _catch_up(context, name, day, "normalise", from_landing=from_landing, replace=replace)
        started = time.monotonic()
        with recorded(context, name, day, is_landed=True):
            manifest = normalise.normalise_slice(context.landing, limits, name, source, day, hash_key=context.hash_key)
    return _result("normalise", name, day, manifest, started)


def validate_slice(
    context: Context, name: str, day: date, *, from_landing: bool = False, replace: bool = False
) -> SliceResult:
    """Validate the events of a slice; raise a RefusedSlice where they are not plausible."""
    with _slice_lock(context, name, day):
        _catch_up(context, name, day, "validate", from_landing=from_landing, replace=replace)
        started = time.monotonic()
        with recorded(context, name, day, is_landed=True):
            manifest = validate.validate_slice(context.landing, context.settings.validation, name, day)
    return _result("validate", name, day, manifest, started)


def load_slice(
    context: Context, name: str, day: date, *, from_landing: bool = False, replace: bool = False, now: datetime
) -> SliceResult:
    """Load the events of a slice into the warehouse, and remove old landed versions that no manifest names."""
    prefix = slice_prefix(name, day)
    with _slice_lock(context, name, day):
        _catch_up(context, name, day, "load", from_landing=from_landing, replace=replace)
        started = time.monotonic()
        with recorded(context, name, day, is_landed=True), context.warehouse() as opened:
            manifest = load.load_slice(opened, context.landing, name, day, replace=replace, loaded_at=now)
            oddities = _oddities(context, opened, name, day)
    context.landing.sweep(prefix, before=swept_before(context, now))
    return _result("load", name, day, manifest, started, oddities)


_LACKING: dict[str, dict[str, tuple[str, ...]]] = {
    "normalise": {"refused": ("extract",)},
    "validate": {"refused": ("extract", "normalise"), "extracted": ("normalise",)},
    "load": {
        "refused": ("extract", "normalise", "validate"),
        "extracted": ("normalise", "validate"),
        "normalised": ("validate",),
    },
}
"""The steps that a slice lacks before a step, by the status of its version landed last."""


def _catch_up(context: Context, name: str, day: date, step: str, **how: bool) -> None:
    """Run the steps that a slice lacks before a step. ``how`` are the options of ``extract_slice``.

    A version that was refused is brought anew: whoever has mended the cause needs to repeat only the step that failed. A
    version that another run has extracted since is brought this far.
    """
    with recorded(context, name, day, is_landed=False):
        newest = context.landing.newest(slice_prefix(name, day))
    run = {"extract": extract_slice, "normalise": normalise_slice, "validate": validate_slice}
    for missing in _LACKING[step].get(newest.status, ()) if newest else ():
        run[missing](context, name, day, **how)


def _slice_lock(context: Context, name: str, day: date) -> AbstractContextManager[None]:
    """Keep other runs from working on the same slice until the block ends."""
    return context.state.lock(f"slice {name} {day}")


def swept_before(context: Context, now: datetime) -> datetime:
    """Return the instant before which a version that no manifest names may have been written, to be removed."""
    return now - timedelta(days=context.settings.retention.superseded_days)


def _oddities(context: Context, opened: Warehouse, name: str, day: date) -> list[str]:
    """Return what is unusual about a slice. That this fails is a warning, too, because the slice is loaded by now."""
    try:
        return list(statistics.oddities(opened, context.settings, name, day))
    except Exception as error:  # noqa: BLE001  # whatever it is, it must not mark a loaded slice as failed
        return [f"whether it is unusual could not be told: {refusal_of(error)}"]


def _result(
    step: str, name: str, day: date, manifest: Manifest, started: float, warnings: Sequence[str] = ()
) -> SliceResult:
    size = sum(file.size for file in manifest.raw)
    seconds = time.monotonic() - started
    return SliceResult(step, name, day, len(manifest.raw), size, manifest.counts, seconds, tuple(warnings)).log()


def bring(
    context: Context,
    slices: Iterable[tuple[str, date]],
    *,
    now: datetime,
    report: Callable[[SliceResult | AnalyticsError], None],
    **how: bool,
) -> int:
    """Load slices one after another, then update the stored figures; return how many slices failed.

    ``how`` are the options of ``extract_slice``. ``report`` is called with the result or the failure of each slice. A failed
    slice stops no other, and its version loaded before stays. A LandingError stops all slices: they share the landing.
    """
    failures = 0
    for name, day in slices:
        try:
            extract_slice(context, name, day, **how)
            normalise_slice(context, name, day, **how)
            validate_slice(context, name, day, **how)
            result = load_slice(context, name, day, **how, now=now)
        except (SliceError, LandingError) as error:
            failures += 1
            report(error)
            if isinstance(error, LandingError):
                break
        else:
            report(result)
    refresh(context)
    return failures


def refresh(context: Context) -> None:
    """Update the stored figures to what is loaded."""
    started = time.monotonic()
    with context.warehouse() as opened:
        statistics.refresh(opened, context.settings)
    _log.info("statistics: the stored figures are up to date, in %.1f s", time.monotonic() - started)


def night_facts(context: Context, slices: Sequence[tuple[str, date]], now: datetime) -> dict[str, Any]:
    """Return what a night leaves: the events of its slices by day and source, and how far the data reach at an aware instant.

    The lag is the hours since the end of the last whole day. It is None while no day is whole, or once every source has ended.
    """
    counts: dict[str, dict[str, int]] = {}
    for (source, day), row in _listed(context, slices).items():
        counts.setdefault(str(day), {})[source] = row.get("event_count", 0)
    with context.warehouse() as opened:
        through = statistics.whole_through(opened, context.settings, context.waivers())
    reached = None if through in (None, statistics.FOR_EVER) else through
    return {
        "rows": counts,
        "whole_through": str(reached) if reached else None,
        "lag_hours": _hours_since(reached, now) if reached else None,
    }


def _hours_since(day: date, now: datetime) -> float:
    return round((now - periods.period_end(day)) / timedelta(hours=1), 1)


def not_loaded(context: Context, slices: Iterable[tuple[tuple[str, date], bool]]) -> dict[str, str]:
    """Return the reasons why slices were not loaded, by the name of the slice. Waived slices are left out.

    ``slices`` holds pairs of a slice and whether its load succeeded.
    """
    failed = [each for each, is_loaded in slices if not is_loaded]
    return {
        f"{source} {day}": row.get("last_error") or "see its red task"
        for (source, day), row in _listed(context, failed).items()
        if row.get("status") != "waived"
    }


def never_tried(context: Context, before: date) -> list[tuple[str, date]]:
    """Return the expected slices that no run has tried since the last tried day of their source before a day.

    Waived slices are left out. A source of which no earlier day was tried has none: its days were not yet backfilled.
    """
    with context.warehouse() as opened:
        last = before - timedelta(days=1)
        rows = statistics.slices(opened, context.settings, context.waivers(), before, last=last)
    gaps: dict[str, list[date]] = {}
    for row in rows:
        if row["status"] not in ("missing", "waived"):
            gaps[row["source"]] = []
        elif row["status"] == "missing" and row["source"] in gaps:
            gaps[row["source"]].append(row["load_date"])
    return [(source, day) for source, missing in gaps.items() for day in missing]


def _listed(context: Context, slices: Sequence[tuple[str, date]]) -> dict[tuple[str, date], Row]:
    """Return the row that ``statistics.slices`` has of each slice, or an empty row where it has none."""
    if not slices:
        return {}
    first, last = min(day for _, day in slices), max(day for _, day in slices)
    with context.warehouse() as opened:
        rows = statistics.slices(
            opened, context.settings, context.waivers(), last + timedelta(days=1), first=first, last=last
        )
    found = {(row["source"], row["load_date"]): row for row in rows}
    return {each: found.get(each, {}) for each in slices}


def days(first: date, last: date) -> Iterator[date]:
    """Yield every day from the first to the last, both included."""
    return (date.fromordinal(ordinal) for ordinal in range(first.toordinal(), last.toordinal() + 1))
