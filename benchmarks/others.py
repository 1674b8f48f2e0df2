"""Measure what others take to count a file of events, beside a whole night of this project on the same file.

Each runs as a process of its own, with its start: bare DuckDB, Polars, dlt into DuckDB, Spark on this machine, and a loop in
Python. Each has an environment of its own, which is made first. They must count the same; a night does more, see
`benchmarks.peers`.

Run it as `python -m benchmarks.others [--events 1000000] [--runs 3]`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from benchmarks import sendgrid_events

DAY = date(2026, 11, 2)
PEERS = {
    "bare_duckdb": ["duckdb==1.5.6"],
    "with_polars": ["polars"],
    "with_dlt": ["dlt[duckdb]", "pyarrow"],
    "with_spark": ["pyspark==4.2.0"],
    "python_loop": [],
}
"""The scripts, each with its packages."""

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the median seconds, CPU seconds and peak memory of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        file = Path(folder, "events.ndjson")
        sendgrid_events.write(file, arguments.events, day=DAY)
        sendgrid_events.write_registry(Path(folder, "registry"), day=DAY)
        interpreters = {name: _environment(Path(folder), name, packages) for name, packages in PEERS.items()}
        found: dict[str, list[tuple[float, float, float, str]]] = {}
        for number in range(arguments.runs):
            for name, python in interpreters.items():
                command = [python, str(ROOT / "benchmarks" / "peers" / f"{name}.py"), str(file)]
                found.setdefault(name, []).append(_measured(command, {}))
            home = _home(Path(folder), file, number)
            command = [sys.executable, "-m", "etl", "nightly", "--day", str(DAY)]
            night = {"ANALYTICS_CONFIG": str(home / "analytics.toml"), "PYTHONPATH": str(ROOT)}
            found.setdefault("a night of ours", []).append(_measured(command, night))
    counted = {name: {run[3] for run in runs} for name, runs in found.items() if name in PEERS}
    assert len(set.union(*counted.values())) == 1, counted
    print(f"{arguments.events:,} events, {os.cpu_count()} cores, medians of {arguments.runs}")
    print(f"{'':<18}{'seconds':>9}{'CPU s':>9}{'peak':>10}")
    for name, runs in found.items():
        seconds, cpu, peak = (statistics.median(run[column] for run in runs) for column in range(3))
        print(f"{name:<18}{seconds:>9.1f}{cpu:>9.1f}{peak:>7,.0f} MB", flush=True)


def _environment(folder: Path, name: str, packages: list[str]) -> str:
    """Make an environment with those packages, and return its interpreter."""
    place, uv = folder / name, [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
    if packages:
        python = str(place / "bin" / "python")
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)
    return str(place / "bin" / "python")


def _home(folder: Path, file: Path, number: int) -> Path:
    """Return a folder with a configuration over the file, and nothing landed yet."""
    home = folder / f"night_{number}"
    home.mkdir()
    sendgrid_events.write_configuration(home, folder / "registry", file)
    return home


def _measured(command: list[str], environment: dict[str, str]) -> tuple[float, float, float, str]:
    """Return seconds, CPU seconds and peak memory of a process with its children, and the last line that it prints."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    lines = process.stdout.read().splitlines()
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, f"{command} failed"
    seconds = time.perf_counter() - started
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, (lines or [""])[-1]


if __name__ == "__main__":
    main()
