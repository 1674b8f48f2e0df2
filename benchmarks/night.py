"""Measure a night of SendGrid events from the raw file to the statistics, against a bare `read_json` of that file.

The night is run with the warehouse on DuckDB and on PostgreSQL.

Two nights of different size give the slope, which is the cost of one more event without the fixed costs. Each run is a
separate process, so that its peak memory can be measured. All alternate on the same files.

Run it as `python -m benchmarks.night [--small 1000000] [--large 4000000] [--runs 3]`.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from benchmarks import sendgrid_events
from tests import postgres_server

if TYPE_CHECKING:
    from etl.pipeline import Context

DAY = date(2026, 11, 2)
KINDS = ("duckdb", "postgres", "bare")
STAGES = ("extract", "normalise", "validate", "load", "statistics")


def main() -> None:
    """Print the seconds of each stage, events per second on the slope, the ratio to the bare load, and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=4_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("KIND", "FILE", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        kind, file, port = arguments.one
        print(json.dumps(_bare(Path(file)) if kind == "bare" else _pipeline(Path(file), kind, int(port))))
        return
    sizes = (arguments.small, arguments.large)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, postgres_server.serving() as port:
        files = {size: Path(folder, f"{size}.ndjson") for size in sizes}
        for size, file in files.items():
            sendgrid_events.write(file, size, day=DAY)
        measured: dict[tuple[str, int], list[dict[str, float]]] = {}
        for _ in range(arguments.runs):
            for size in sizes:
                for kind in KINDS:
                    measured.setdefault((kind, size), []).append(_in_a_process(kind, files[size], port))
    _print_medians(measured, *sizes)


def _in_a_process(kind: str, file: Path, port: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.night", "--one", kind, str(file), str(port)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def _bare(file: Path) -> dict[str, float]:
    import duckdb

    seconds: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(dir=file.parent) as folder,
        _timed(seconds, "bare"),
        duckdb.connect(f"{folder}/bare.duckdb") as connection,
    ):
        connection.read_json(str(file)).create("events")
    return seconds | {"peak": _peak()}


def _pipeline(file: Path, kind: str, port: int) -> dict[str, float]:
    import great_expectations  # noqa: F401  # imported before the clock starts: its import is a fixed cost

    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        context = _context(Path(folder), file, _warehouse(Path(folder), kind, port))
        from etl import extract, load, normalise, pipeline, statistics, validate

        pipeline.pull_registry(context)
        source = context.settings.sources["sendgrid"]
        with _timed(seconds, "extract"):
            extract.extract_slice(context.landing, "sendgrid", source, DAY, context.lookup, today=DAY)
        with _timed(seconds, "normalise"):
            normalise.normalise_slice(
                context.landing, context.settings.normalise, "sendgrid", source, DAY, hash_key=context.hash_key
            )
        with _timed(seconds, "validate"):
            validate.validate_slice(context.landing, context.settings.validation, "sendgrid", DAY)
        with _timed(seconds, "load"), context.warehouse() as opened:
            load.load_slice(opened, context.landing, "sendgrid", DAY, replace=False, loaded_at=datetime.now(UTC))
        with _timed(seconds, "statistics"), context.warehouse() as opened:
            statistics.refresh(opened, context.settings)
    return seconds | {kind: sum(seconds.values()), "peak": _peak()}


def _warehouse(folder: Path, kind: str, port: int) -> str:
    """Return the URL of a new, empty warehouse."""
    if kind == "duckdb":
        return f"duckdb:///{folder}/warehouse.duckdb"
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS night")
        connection.execute("CREATE DATABASE night")
    return f"postgresql+psycopg://postgres@127.0.0.1:{port}/night"


def _context(folder: Path, file: Path, warehouse: str) -> "Context":
    registry = folder / "registry"
    sendgrid_events.write_registry(registry, day=DAY)
    sendgrid_events.write_configuration(folder, registry, file, warehouse)
    os.environ["ANALYTICS_CONFIG"] = str(folder / "analytics.toml")
    from etl import pipeline

    return pipeline.open_context(os.environ.get)


@contextmanager
def _timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[what] = time.perf_counter() - started


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _print_medians(measured: dict[tuple[str, int], list[dict[str, float]]], small: int, large: int) -> None:
    def median(kind: str, size: int, what: str) -> float:
        return statistics.median(run[what] for run in measured[kind, size])

    slopes = {}
    print(f"{'seconds, medians':<26}{small:>12,}{large:>12,}   events per second on the slope")
    for kind in KINDS:
        for what in (*(() if kind == "bare" else STAGES), kind):
            seconds = [median(kind, size, what) for size in (small, large)]
            slopes[kind] = (large - small) / max(seconds[1] - seconds[0], 1e-9)
            name = kind if what == kind else f"  {kind}, {what}"
            print(f"{name:<26}{seconds[0]:>12.2f}{seconds[1]:>12.2f}   {slopes[kind]:>14,.0f}")
    print(f"the night on DuckDB has {slopes['duckdb'] / slopes['bare']:.2f} of the bare load's speed")
    for kind in KINDS:
        peaks = [median(kind, size, "peak") for size in (small, large)]
        print(f"peak memory, {kind:<13}{peaks[0]:>9,.0f} MB{peaks[1]:>9,.0f} MB")


if __name__ == "__main__":
    main()
