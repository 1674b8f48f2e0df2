"""Render reports from their landed figures: a few in this process, many on all cores.

WeasyPrint does not give memory back, so processes are replaced after ``MOST_OF_A_PROCESS`` reports each. They come from a
server that has imported this package and nothing else, so that a new one starts at once.
"""

import os
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from etl import figures, render
from etl.errors import AnalyticsError, DamagedFile
from etl.figures import Figures
from etl.landing import Landing

MOST_OF_A_PROCESS = 40
FEW = 4  # reports: fewer are rendered before another process has imported this package


@dataclass(frozen=True)
class LandedReport:
    """A report to render: its name, the landing and the path of its figures there, the folder for its files, and its mail."""

    name: str
    landing: str
    figures: str
    folder: Path
    mail: render.MailOptions


@dataclass(frozen=True)
class RenderedReport:
    """The figures that a rendered report shows, without its recipients, and what it had to leave out."""

    figures: Figures
    warnings: tuple[str, ...]


Outcome = RenderedReport | AnalyticsError


def cores() -> int:
    """Return how many processes of this machine may render at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def render_landed(reports: Sequence[LandedReport], processes: int) -> Generator[Outcome, None, None]:
    """Render reports, at most ``processes`` at once, and yield what became of each, in order.

    A report that fails, or whose process is killed, fails alone.
    """
    if processes == 1 or len(reports) < FEW:
        yield from map(_render, reports)
        return
    # ProcessPoolExecutor's own max_tasks_per_child waits for ever once a process has reached it (python/cpython#115634),
    # so each batch has its own processes.
    size = processes * MOST_OF_A_PROCESS
    for first in range(0, len(reports), size):
        yield from _render_batch(reports[first : first + size], processes)


def _render_batch(batch: Sequence[LandedReport], processes: int) -> Generator[Outcome, None, None]:
    done = 0
    try:
        with _processes(processes) as pool:
            for outcome in pool.map(_render, batch):
                done += 1
                yield outcome
    except BrokenProcessPool:  # any report of the batch may be the cause
        yield _render_by_itself(batch[done])
        yield from _render_batch(batch[done + 1 :], processes)


def _render_by_itself(report: LandedReport) -> Outcome:
    try:
        with _processes(1) as pool:
            return pool.submit(_render, report).result()
    except BrokenProcessPool:
        return AnalyticsError(
            f"the report {report.name} was not rendered: its process was killed, most likely for want of memory; give this"
            " host more, or render it by itself"
        )


def _processes(count: int) -> ProcessPoolExecutor:
    server = get_context("forkserver")
    server.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(count, mp_context=server)


def _render(report: LandedReport) -> Outcome:
    """Render one report, and return its failure: an exception would end the others."""
    content = Landing(report.landing).read(report.figures)
    if content is None:
        return AnalyticsError(f"no figures are landed for the report {report.name}; run reports for it")
    try:
        document = figures.parse(content)
    except ValueError:
        return DamagedFile(f"figures.json of the report {report.name}", "it is no JSON")
    try:
        warnings = render.render(document, report.folder, mail=report.mail)
    except AnalyticsError as error:
        return error
    return RenderedReport(document | {"recipients": []}, tuple(warnings))
