"""The steps of a night: the registry, then each slice from the raw bytes to the figures."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from etl import extract, load, normalise, statistics, validate
from etl.errors import AnalyticsError, LandingError, ShrunkenSlice, SliceError, UnreadableFile
from etl.landing import Counts, Manifest, slice_shelf
from etl.normalise import registry
from etl.porch.house import House, now_utc
from etl.settings import Source

SWEPT_AFTER = timedelta(days=1)


def pull_registry(house: House, *, from_landing: bool = False, replace: bool = False) -> Manifest:
    """Brings the registry, as it is now, into the warehouse."""
    if from_landing:
        extract.reuse_registry(house.landing)
    else:
        extract.pull_registry(house.landing, house.settings.registry, house.lookup)
    manifest = registry.normalise_registry(
        house.landing,
        house.settings.normalise,
        hash_key=house.hash_key,
        forgotten=house.state.forgotten(),
        replace=replace,
    )
    with house.warehouse() as opened:
        load.load_registry(opened, house.landing)
    house.landing.sweep("registry", before=now_utc() - SWEPT_AFTER)
    return manifest


def is_expected(source: Source, day: date) -> bool:
    """Whether the source covers that day."""
    return (source.since or date.min) <= day <= (source.until or date.max)


def slices_to_bring(
    house: House, names: Sequence[str] | None, first: date, last: date, *, from_landing: bool
) -> list[tuple[str, date]]:
    """The slices of some days, of the named sources, or of all that cover a day; before them what may have come late.

    Late are slices of each source's ``late_days`` before the first day that are loaded, or failed, and may have more by
    now; none where the network is not asked.
    """
    sources = {name: house.source(name) for name in names or house.settings.sources}
    late = [] if from_landing else list(_late(house, sources, first))
    asked = [(name, day) for day in days(first, last) for name in sources]
    return [(name, day) for name, day in (*late, *asked) if names or is_expected(sources[name], day)]


def _late(house: House, sources: Mapping[str, Source], first: date) -> Iterator[tuple[str, date]]:
    with house.warehouse() as opened:
        failed = statistics.failed_slices(opened)
    has_more, today = partial(extract.has_more, house.landing), now_utc().date()
    for name, source in sources.items():
        for day in days(first - timedelta(days=source.late_days), first - timedelta(days=1)):
            if has_more(name, source, day, today=today, has_failed=(name, day) in failed):
                yield name, day


def extract_slice(house: House, name: str, day: date, *, from_landing: bool, replace: bool) -> None:
    """Lands a slice's raw records, or takes those that were landed before."""
    source = house.source(name)
    if from_landing:
        extract.reuse_landed(house.landing, name, day)
    else:
        today = now_utc().date()
        extract.extract_slice(house.landing, name, source, day, house.lookup, today=today, replace=replace)


def normalise_slice(house: House, name: str, day: date) -> None:
    """Makes events of a slice's raw records."""
    limits, source = house.settings.normalise, house.source(name)
    with _refusing(house, name, day):
        normalise.normalise_slice(house.landing, limits, name, source, day, hash_key=house.hash_key)


def validate_slice(house: House, name: str, day: date) -> None:
    """Keeps a slice out whose events are not plausible."""
    validate.validate_slice(house.landing, house.settings.validation, name, day)


def load_slice(house: House, name: str, day: date, *, replace: bool, now: datetime) -> tuple[Counts, list[str]]:
    """Loads a slice's events into the warehouse, and clears away the landed versions that nothing names.

    Beside the counts what is merely odd about the slice, and so no failure: a sentence each.
    """
    with _refusing(house, name, day), house.warehouse() as opened:
        counts = load.load_slice(opened, house.landing, name, day, replace=replace, loaded_at=now)
        oddities = statistics.oddities(opened, house.settings, name, day)
    house.landing.sweep(slice_shelf(name, day), before=now - SWEPT_AFTER)
    return counts, oddities


@contextmanager
def _refusing(house: House, name: str, day: date) -> Iterator[None]:
    """Marks the version that was landed last as refused where it cannot be used: a rebuild then takes the loaded one."""
    try:
        yield
    except (UnreadableFile, ShrunkenSlice) as error:
        newest = house.landing.newest(slice_shelf(name, day))
        if newest:
            house.landing.publish(newest.model_copy(update={"status": "refused", "reason": error.reason}))
        raise


def record_failure(house: House, error: SliceError) -> None:
    """Keeps in the warehouse why a slice did not come."""
    with house.warehouse() as opened:
        load.record_failure(opened, error.source, error.day, error.reason)


def bring(
    house: House,
    wanted: Iterable[tuple[str, date]],
    *,
    from_landing: bool,
    replace: bool,
    now: datetime,
    tell: Callable[[str], None],
) -> Iterator[str | AnalyticsError]:
    """Brings slices one after another into the warehouse, then the figures up to date; yields a line or the failure of each.

    A failing slice stops nothing: the others go on, what was loaded before stays. A landing that
    fails, which all of them share, stops them all. ``tell`` hears what is odd about a slice that was loaded.
    """
    for name, day in wanted:
        try:
            extract_slice(house, name, day, from_landing=from_landing, replace=replace)
            normalise_slice(house, name, day)
            validate_slice(house, name, day)
            counts, oddities = load_slice(house, name, day, replace=replace, now=now)
        except SliceError as error:
            record_failure(house, error)
            yield error
        except LandingError as error:
            record_failure(house, SliceError(name, day, error.reason))
            yield error
            break
        else:
            yield (
                f"{name} {day}: {counts.event} events, {counts.duplicate} duplicates,"
                f" {counts.reject} rejects, {counts.ignored} ignored"
            )
            for oddity in oddities:
                tell(f"warning: {name} {day}: {oddity}")
    refresh(house)


def refresh(house: House) -> None:
    """Brings the stored figures up to date with what was loaded."""
    with house.warehouse() as opened:
        statistics.refresh(opened, house.settings)


def held_slices(house: House, first: date, last: date) -> dict[tuple[str, date], dict[str, Any]]:
    """What the warehouse holds of some days: the row of ``slices`` of each source and day."""
    with house.warehouse() as opened:
        rows = statistics.slices(
            opened, house.settings, house.waivers(), last + timedelta(days=1), first=first, last=last
        )
    return {(row["source"], row["load_date"]): row for row in rows}


def days(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last, both included."""
    return (date.fromordinal(ordinal) for ordinal in range(first.toordinal(), last.toordinal() + 1))
