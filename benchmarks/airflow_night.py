"""Measure a night of four sources, one slice each, by a real Airflow and by the command line, on the same files.

Run it as `python -m benchmarks.airflow_night [--events 20000]`. Airflow runs as in the tests: PostgreSQL for its metadata,
LocalExecutor, and all four processes. Task seconds are the durations that its API gives; on a busy machine they grow, CPU
seconds hardly do. What Airflow's processes use without a run is measured first, and is not of the night.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from benchmarks import sendgrid_events
from tests import installation, postgres_server

DAY = date(2026, 11, 2)
SOURCES = ("first", "second", "third", "fourth")
RECIPIENTS = 4_000
IDLE_SECONDS = 20
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the seconds of each kind of task, and the CPU seconds of Airflow's processes and of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=20_000, help="of each source")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for name in SOURCES:
            file = Path(folder, f"{name}.ndjson")
            sendgrid_events.write(file, arguments.events, seed=SOURCES.index(name), day=DAY)
        sendgrid_events.write_registry(Path(folder, "registry"), day=DAY, recipients=RECIPIENTS)
        print(f"{len(SOURCES)} sources of {arguments.events:,} events; {os.cpu_count()} cores")
        by_command_line(_configured(Path(folder), "command_line"))
        with postgres_server.serving() as port:
            by_airflow(_configured(Path(folder), "airflow_night"), port)


def _configured(folder: Path, name: str) -> Path:
    """Return a folder with a configuration over the files of all sources, and with nothing landed yet."""
    home = folder / name
    home.mkdir()
    sources = "".join(
        f'[sources.{each}]\nformat = "sendgrid"\nfiles = "file://{folder}/{each}.ndjson"\nsince = {DAY}\nuntil = {DAY}\n'
        for each in SOURCES
    )
    (home / "analytics.toml").write_text(
        f'[landing]\nurl = "file://{home}/landing"\n[warehouse]\nurl = "duckdb:///{home}/warehouse.duckdb"\n'
        f'[registry]\nurl = "file://{folder}/registry"\n{sources}'
    )
    return home


def by_command_line(home: Path) -> None:
    """Run the night twice with `nightly`, and print the wall and CPU seconds of both: the second finds the registry."""
    for which in ("first", "again"):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "etl", "nightly", "--day", str(DAY)],
            env=os.environ | {"PYTHONPATH": str(ROOT), "ANALYTICS_CONFIG": str(home / "analytics.toml")},
            check=True,
            capture_output=True,
            cwd=home,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"command line, {which}: {time.perf_counter() - started:.1f} s, {cpu:.1f} CPU s", flush=True)


def by_airflow(home: Path, port: int) -> None:
    """Run the same two nights under Airflow, and print the seconds of their tasks and the CPU seconds of its processes."""
    with installation.running(home, port) as airflow:
        idle = _used_by(lambda: time.sleep(IDLE_SECONDS))
        rates = {part: seconds / IDLE_SECONDS for part, seconds in idle.items()}
        print(
            "Airflow without a run: " + _listed({part: 60 * rate for part, rate in rates.items()}) + " CPU s a minute"
        )
        for which in ("first", "again"):
            found: dict[str, Any] = {}
            started = time.perf_counter()
            used = _used_by(lambda found=found: found.update(airflow.by_hand("nightly_events", None, day=str(DAY))))
            wall = time.perf_counter() - started
            assert found["state"] == "success", found["tasks"]
            _print_tasks(airflow, found, f"Airflow, {which}: {wall:.1f} s")
            spent = {part: max(0.0, seconds - rates.get(part, 0) * wall) for part, seconds in used.items()}
            print(f"  CPU s of the night alone {sum(spent.values()):.1f}: {_listed(spent)}", flush=True)


def _print_tasks(airflow: installation.Installation, run: dict[str, Any], title: str) -> None:
    path = f"dags/nightly_events/dagRuns/{run['dag_run_id']}/taskInstances?limit=100"
    seconds = defaultdict(list)
    for task in airflow.ask(path)["task_instances"]:
        seconds[task["task_id"]].append(task["duration"] or 0.0)
    print(f"{title}, {sum(map(sum, seconds.values())):.1f} task s")
    for name, each in seconds.items():
        print(f"  {name:<18}{len(each)} of {statistics.mean(each):.2f} s each")


def _used_by(work: Any) -> Counter[str]:
    """Return the CPU seconds that each part of Airflow uses while the work is done; `tasks` are all workers of the scheduler."""
    before = _cpu()
    work()
    return Counter({part: seconds - before[part] for part, seconds in _cpu().items()})


def _cpu() -> Counter[str]:
    """Return the CPU seconds of our child processes by part, with those of children that have ended and were waited for."""
    used: Counter[str] = Counter()
    for child in psutil.Process().children():
        with child.oneshot():
            part = next((name for name in _PARTS if name in " ".join(child.cmdline())), "other")
            own = child.cpu_times()
        used[part] += own.user + own.system
        inner = Counter[str]()
        _add_children(child, inner)
        used["tasks" if part == "scheduler" else part] += inner["live"] + own.children_user + own.children_system
    return used


def _add_children(process: psutil.Process, used: Counter[str]) -> None:
    for child in process.children():
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used["live"] += sum(times[:4])
        _add_children(child, used)


_PARTS = ("api-server", "api_server", "scheduler", "dag-processor", "triggerer", "postgres")


def _listed(seconds: dict[str, float]) -> str:
    return ", ".join(f"{part} {each:.1f}" for part, each in seconds.items() if each >= 0.05)


if __name__ == "__main__":
    main()
