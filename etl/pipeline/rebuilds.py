"""Rebuild the warehouse from the landing: many slices at once, on all cores, and one writer.

What is done about a slice follows from its manifest, so a rebuild that was killed goes on where it stopped: a version that
the warehouse holds is left alone; one that today's rules and key have normalised is loaded as it is; any other is
normalised again from its raw files.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import date, datetime
from functools import partial
from multiprocessing import get_context
from typing import Self, TypeVar

from etl import extract, load, normalise, settings, validate
from etl.errors import AnalyticsError, ConfigurationError, LandingError, SliceError, WarehouseError
from etl.landing import Landing, Manifest, slice_prefix
from etl.pipeline import nights
from etl.pipeline.context import Context
from etl.pipeline.failures import failure_of, record, recorded, settle

Slice = tuple[str, date]
Outcome = nights.SliceResult | AnalyticsError
Each = TypeVar("Each")

MOST_SLICES, MOST_FILES, MOST_BYTES = 30, 60, 8 << 20
"""How many slices, raw files and bytes of raw files are at most worked on at once; a larger slice is a batch of its own."""


@dataclass(frozen=True)
class Rebuilt:
    """How many slices a rebuild loaded, how many the warehouse held already, and how many failed."""

    loaded: int
    held: int
    failed: int


@dataclass(frozen=True)
class _Step:
    """What is still to be done about a slice before it is loaded."""

    manifest: Manifest
    is_normalised: bool
    is_valid: bool


@dataclass(frozen=True)
class _Job:
    """Slices of one source that a process normalises."""

    landing: str
    limits: settings.Normalise
    name: str
    source: settings.Source
    days: tuple[date, ...]
    hash_key: str


def slices_to_rebuild(context: Context, first: date | None, last: date | None) -> list[Slice]:
    """Return the landed slices of some days, or of all, by source and day."""
    return sorted(
        (source, day) for source, day in context.landing.slices() if (first or date.min) <= day <= (last or date.max)
    )


def rebuild(
    context: Context,
    slices: Sequence[Slice],
    *,
    replace: bool,
    now: datetime,
    report: Callable[[Outcome | None], None],
) -> Rebuilt:
    """Make the warehouse hold the landed version of each slice, then update the stored figures.

    ``report`` is called for each slice, with its result, its failure, or None where the warehouse held it already. A failed
    slice stops no other. A LandingError stops all, because they share the landing.
    """
    counts = {"loaded": 0, "held": 0, "failed": 0}

    def count(outcome: Outcome | None) -> None:
        counts["failed" if isinstance(outcome, AnalyticsError) else "loaded" if outcome else "held"] += 1
        report(outcome)

    try:
        for batch, failures in _normalised(context, _batches(context, slices, count)):
            for outcome in _brought(context, batch, failures, replace=replace, now=now):
                count(outcome)
    except LandingError as error:
        count(error)
    nights.refresh(context)
    return Rebuilt(**counts)


Batch = dict[Slice, _Step]
Failures = dict[Slice, AnalyticsError]


def _batches(context: Context, slices: Sequence[Slice], report: Callable[[Outcome | None], None]) -> Iterator[Batch]:
    """Yield the slices that are to be loaded, in batches; report those that are loaded already, and those that cannot be."""
    with context.warehouse() as opened:
        held = load.held_versions(opened)
    batch: Batch = {}
    for name, day in slices:
        try:
            step = _step(context, name, day)
        except SliceError as error:
            report(error)
            continue
        if step.is_valid and (name, day) in held and held[name, day] == step.manifest.events:
            if context.landing.loaded(step.manifest.prefix) != step.manifest:  # it was killed after the commit
                context.landing.mark_loaded(step.manifest)
            report(None)
            continue
        if batch and not _fits(batch, name, step):
            yield batch
            batch = {}
        batch[name, day] = step
    if batch:
        yield batch


def _fits(batch: Batch, name: str, step: _Step) -> bool:
    files = [file for each in (*batch.values(), step) for file in each.manifest.raw]
    is_of_source = next(iter(batch))[0] == name
    is_small = sum(file.size for file in files) <= MOST_BYTES and len(files) <= MOST_FILES
    return is_of_source and is_small and len(batch) < MOST_SLICES


def _step(context: Context, name: str, day: date) -> _Step:
    """Tell what is to be done about a slice. Raise a SliceError where it cannot be loaded."""
    with recorded(context, name, day, is_landed=False):
        manifest = extract.reuse_landed(context.landing, name, day)
        source = context.settings.sources.get(name)
        has_key = manifest.key == normalise.fingerprint_of_key(context.hash_key)
        has_rules = source is not None and manifest.rules == normalise.fingerprint_of_rules(source)
        is_valid = manifest.status == "valid"
        if has_key and has_rules and (manifest.events or not manifest.raw):
            return _Step(manifest, is_normalised=True, is_valid=is_valid)
        if source and context.landing.has_raw(manifest):
            return _Step(manifest, is_normalised=False, is_valid=False)
        if has_key and is_valid:  # the raw files have expired, or the source has left the configuration
            return _Step(manifest, is_normalised=True, is_valid=True)
        if source:
            reason = (
                "its raw files are gone, and its events were made with another key or were never valid; bring the files"
                " or the former key back, or waive the slice"
            )
        else:
            reason = "the configuration has no source of that name; bring its table back, until the rebuild is done"
        raise SliceError(name, day, reason)


# Normalise, on all cores


def _normalised(context: Context, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Failures]]:
    """Normalise what has to be, and yield each batch, in order, with its slices that failed."""
    waiting: deque[tuple[Batch, _Job | None]] = deque()
    with _Processes(_cores()) as processes:
        for batch in batches:
            job = _job(context, batch, processes.count)
            waiting.append((batch, job))
            if job:
                processes.start(job)
            if len(waiting) > 2 * processes.count:
                yield _finished(processes, *waiting.popleft())
        while waiting:
            yield _finished(processes, *waiting.popleft())


def _finished(processes: "_Processes", batch: Batch, job: _Job | None) -> tuple[Batch, Failures]:
    if job is None:
        return batch, {}
    outcomes = zip(job.days, processes.outcomes(job), strict=True)
    return batch, {(job.name, day): failure for day, failure in outcomes if failure}


def _job(context: Context, batch: Batch, processes: int) -> _Job | None:
    days = tuple(day for (_, day), step in batch.items() if not step.is_normalised)
    if not days:
        return None
    name, _ = next(iter(batch))
    limits = context.settings.normalise
    limits = limits.model_copy(update={"threads": max(1, (limits.threads or processes) // processes)})
    return _Job(context.landing.url, limits, name, context.source(name), days, context.hash_key)


class _Processes:
    """Processes that normalise. One that is killed fails the slice that it worked on, and no other."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = self._made(count)
        self._jobs: list[_Job] = []
        self._running: dict[int, Future[list[AnalyticsError | None]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, job: _Job) -> None:
        """Start a job, or let it wait until a process is free."""
        self._jobs.append(job)
        with suppress(BrokenProcessPool):  # it is found again when the outcomes are asked for
            self._running[id(job)] = self._pool.submit(_normalise, job)

    def outcomes(self, job: _Job) -> list[AnalyticsError | None]:
        """Wait for a job, and return the failure of each of its slices, None for each that is normalised."""
        self._jobs.remove(job)
        running = self._running.pop(id(job), None)
        with suppress(BrokenProcessPool):
            if running:
                return running.result()
        # Any of the running jobs may be the cause.
        outcomes = [self._by_itself(changed(job, days=(day,))) for day in job.days]
        self._pool.shutdown(cancel_futures=True)
        self._pool, others, self._jobs = self._made(self.count), self._jobs, []
        for other in others:
            self.start(other)
        return outcomes

    def _by_itself(self, job: _Job) -> AnalyticsError | None:
        try:
            with self._made(1) as pool:
                return pool.submit(_normalise, job).result()[0]
        except BrokenProcessPool:
            return SliceError(
                job.name,
                job.days[0],
                "the process that normalised it was killed, most likely for want of memory; give this host more, then run it"
                " again",
            )

    @staticmethod
    def _made(count: int) -> ProcessPoolExecutor:
        context = get_context("forkserver")
        return ProcessPoolExecutor(count, mp_context=context, initializer=os.umask, initargs=(0o077,))


def _normalise(job: _Job) -> list[AnalyticsError | None]:
    """Normalise the slices of a job, in a process of its own."""
    landing = Landing(job.landing)

    def at_once(days: Sequence[date]) -> None:
        normalise.normalise_slices(landing, job.limits, job.name, job.source, days, hash_key=job.hash_key)

    def one(day: date) -> AnalyticsError | None:
        try:
            at_once([day])
        except Exception as error:  # noqa: BLE001  # each library has its own, and the other slices go on
            return failure_of(job.name, day, error)
        return None

    return list(_in_bulk(job.days, at_once, one))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Validate and load, many slices at a time


def _brought(context: Context, batch: Batch, failures: Failures, *, replace: bool, now: datetime) -> Iterator[Outcome]:
    """Validate and load the slices of a batch that are normalised, and yield the result or the failure of each."""
    started = time.monotonic()
    for (name, day), failure in failures.items():
        if isinstance(failure, LandingError):
            raise failure
        yield settle(context, name, day, failure, is_landed=True)
    unchecked = [each for each, step in batch.items() if each not in failures and not step.is_valid]
    refused = dict(zip(unchecked, _in_bulk(unchecked, *_validation(context)), strict=True))
    yield from filter(None, refused.values())
    valid = [each for each in batch if each not in failures and not refused.get(each)]
    for each, outcome in zip(valid, _in_bulk(valid, *_loading(context, replace=replace, now=now)), strict=True):
        yield outcome or _result(context, each, batch[each], (time.monotonic() - started) / len(valid), now)


def _validation(
    context: Context,
) -> tuple[Callable[[Sequence[Slice]], None], Callable[[Slice], AnalyticsError | None]]:
    def one(each: Slice) -> AnalyticsError | None:
        try:
            nights.validate_slice(context, *each, from_landing=True)
        except SliceError as error:
            return error
        return None

    return partial(validate.validate_slices, context.landing, context.settings.validation), one


def _loading(
    context: Context, *, replace: bool, now: datetime
) -> tuple[Callable[[Sequence[Slice]], None], Callable[[Slice], AnalyticsError | None]]:
    def at_once(slices: Sequence[Slice]) -> None:
        with context.warehouse() as opened:
            load.load_slices(opened, context.landing, slices, replace=replace, loaded_at=now)

    def one(each: Slice) -> AnalyticsError | None:
        try:
            nights.load_slice(context, *each, from_landing=True, replace=replace, now=now)
        except SliceError as error:
            return error
        except WarehouseError as error:
            record(context, *each, str(error))  # raises where the warehouse itself is of no use
            return SliceError(*each, str(error))
        return None

    return at_once, one


def _result(context: Context, each: Slice, step: _Step, seconds: float, now: datetime) -> nights.SliceResult:
    """Return the result of a loaded slice, and remove the versions of it that no manifest names any more."""
    manifest = context.landing.newest(slice_prefix(*each)) or step.manifest
    if not step.is_normalised:
        context.landing.sweep(manifest.prefix, before=nights.swept_before(context, now))
    size = sum(file.size for file in manifest.raw)
    return nights.SliceResult("load", *each, len(manifest.raw), size, manifest.counts, seconds).log()


def _in_bulk(
    items: Sequence[Each],
    at_once: Callable[[Sequence[Each]], None],
    one: Callable[[Each], AnalyticsError | None],
) -> Generator[AnalyticsError | None, None, None]:
    """Do the work on all items at once. Where that fails, halve them until the work is done on one at a time.

    Yield the failure of each item in order, or None. ``one`` works on one item and returns its failure.
    """
    if len(items) <= 1:
        yield from map(one, items)
        return
    try:
        at_once(items)
    except (ConfigurationError, LandingError):
        raise
    except Exception:  # noqa: BLE001  # whatever it is, the item whose it is meets it again by itself
        middle = len(items) // 2
        yield from _in_bulk(items[:middle], at_once, one)
        yield from _in_bulk(items[middle:], at_once, one)
    else:
        yield from [None] * len(items)
