"""Measure a rebuild of many small and of a few large slices, by `rebuild` and slice by slice as a night does, from one landing.

Run it as `python -m benchmarks.rebuild [--small 120] [--large 10] [--events 1000000]`. Both read what one `nightly` has
landed, into an empty warehouse each; `nightly --from-landing` is the way slice by slice. All tables must be equal.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb

from benchmarks import sendgrid_events

FIRST = date(2026, 7, 1)
SMALL_EVENTS = 50
RECIPIENTS = 4_000
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print wall and CPU seconds of both ways, for small and for large slices, and whether the tables are equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=120, help="slices of 50 events")
    parser.add_argument("--large", type=int, default=10, help="slices of --events events")
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    for slices, events in ((arguments.small, SMALL_EVENTS), (arguments.large, arguments.events)):
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            measure(Path(folder), slices, events)


def measure(folder: Path, slices: int, events: int) -> None:
    """Land the slices, load them both ways, and print what each took."""
    print(f"{slices} slices of {events:,} events")
    last = FIRST + timedelta(days=slices - 1)
    days = ("--day", str(FIRST), "--to", str(last))
    _write(folder, slices, events)
    _run(folder, "landed by nightly", "nightly", *days)
    _load(folder, "slice by slice", "nightly", *days, "--from-landing")
    _load(folder, "rebuild, its Parquet", "rebuild")
    _forget_rules(folder)
    _load(folder, "rebuild, its raw files", "rebuild")
    wanted = _tables(folder / "slice by slice.duckdb")
    for name in ("rebuild, its Parquet", "rebuild, its raw files"):
        found = _tables(folder / f"{name}.duckdb")
        print(f"  {name}: {len(wanted)} tables {'equal' if found == wanted else 'DIFFER'}", flush=True)


def _write(folder: Path, slices: int, events: int) -> None:
    (folder / "raw").mkdir()
    for number in range(slices):
        day = FIRST + timedelta(days=number)
        sendgrid_events.write(folder / "raw" / f"{day}.ndjson", events, seed=number, day=day)
    sendgrid_events.write_registry(folder / "registry", day=FIRST, recipients=RECIPIENTS)
    (folder / "analytics.toml").write_text(
        f'[landing]\nurl = "file://{folder}/landing"\n[warehouse]\nurl = "duckdb:///{folder}/warehouse.duckdb"\n'
        f'[registry]\nurl = "file://{folder}/registry"\n[sources.mail]\nformat = "sendgrid"\n'
        f'files = "file://{folder}/raw/{{day:%Y-%m-%d}}.ndjson"\nsince = {FIRST}\n'
    )


def _load(folder: Path, name: str, *arguments: str) -> None:
    """Fill an empty warehouse by a command, and keep it under that name."""
    (folder / "warehouse.duckdb").unlink()
    _run(folder, name, *arguments)
    shutil.copy(folder / "warehouse.duckdb", folder / f"{name}.duckdb")


def _forget_rules(folder: Path) -> None:
    """Make the landed versions those of other rules, as after a new release, so that a rebuild reads their raw files."""
    configuration = folder / "analytics.toml"
    configuration.write_text(f'{configuration.read_text()}metadata_keys = ["campaign"]\n')


def _run(folder: Path, name: str, *arguments: str) -> None:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "etl", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "ANALYTICS_CONFIG": str(folder / "analytics.toml")},
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"  {name:<24}{time.perf_counter() - started:>8.1f} s{cpu:>8.1f} CPU s", flush=True)


def _tables(warehouse: Path) -> dict[str, tuple[int, str]]:
    """Return the number of rows and a hash of them by table, without the times of loading and the names of versions."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = {}
        for (name,) in connection.execute("SHOW TABLES").fetchall():
            table = connection.table(name)
            kept = [column for column in table.columns if column not in ("loaded_at", "version")]
            rows = f"hash({', '.join(kept)})"
            found[name] = connection.execute(f"SELECT count(*), CAST(sum({rows}) AS VARCHAR) FROM {name}").fetchone()
        return found


if __name__ == "__main__":
    main()
