"""Run the demo: thirty nights of a simulated credential platform, and the reports that its issuers get.

The command line runs the earlier nights while Airflow starts. Airflow runs the last two nights and the reports.
All files are in `.demo/` and are made anew each time. All servers listen only on loopback.
"""

import csv
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from demo import airflow, sink
from demo.platform import Simulation, simulate

FIRST_DAY = date(2026, 10, 5)
NIGHTS = 30
THROUGH_AIRFLOW = 2
PERIODS = ("2026-10", "2026-W44", "2026-11-02")
SINK_PORT = 1025

_POOL = {"name": "warehouse", "slots": 1, "description": "one process in DuckDB at a time"}
_CONFIGURATION = """\
# The demo's configuration, as a platform with SendGrid and nginx would write it.
[landing]
url = "file://{home}/landing"

[warehouse]
url = "duckdb:///{home}/warehouse.duckdb"

[registry]
url = "file://{home}/platform/registry"

[sources.sendgrid]
format = "sendgrid"
files = "{home}/platform/sendgrid/{{day:%Y/%m/%d}}/*.json.gz"
since = {first}
until = {last}

[sources.recipient_view]
format = "nginx_combined"
files = "{home}/platform/recipient_view/access.log-{{day:%Y-%m-%d}}*"
since = {first}
until = {last}

[credential]
hosts = ["credentials.example"]

[mail]
url = "smtp://127.0.0.1:{port}"
sender = "Certificate reports <reports@example.com>"
reply_to = "help@example.com"
unsubscribe_url = "https://example.com/unsubscribe/{{token}}"
enabled = true
"""


def main() -> int:
    """Run the demo. Return 0 if every night and every report succeeded."""
    airflow.require_free(airflow.PORT, SINK_PORT)
    home = airflow.HOME
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    with _step("simulating a credential platform"):
        simulation = simulate(home / "platform", first_day=FIRST_DAY, nights=NIGHTS)
    configure(home, simulation)
    server, process = sink.start(home / "mails", SINK_PORT), airflow.start()
    try:
        switch = simulation.last_day - timedelta(days=THROUGH_AIRFLOW)
        with _step(f"{NIGHTS - THROUGH_AIRFLOW} nights by the command line, while Airflow starts"):
            _nights(simulation.first_day, switch)
        with _step("waiting for Airflow"):
            airflow.wait_until_up(process, "nightly_events", "issuer_reports")
            airflow.ask("POST", "/api/v2/pools", _POOL)
        with _step(f"{THROUGH_AIRFLOW} nights through Airflow, as a backfill"):
            _backfill(switch + timedelta(days=1), simulation.last_day)
        with _step(f"the reports of {', '.join(PERIODS)} through Airflow"):
            _reports()
    finally:
        airflow.stop(process)
        server.stop()
    _print_summary(home, simulation)
    return 0


@contextmanager
def _step(what: str) -> Iterator[None]:
    started = time.monotonic()
    print(f"… {what}", flush=True)
    yield
    print(f"  done in {time.monotonic() - started:.0f} s", flush=True)


def configure(home: Path, simulation: Simulation) -> None:
    """Write the configuration for a simulated platform in ``home``."""
    text = _CONFIGURATION.format(home=home, first=simulation.first_day, last=simulation.last_day, port=SINK_PORT)
    (home / "analytics.toml").write_text(text)


def _nights(first: date, last: date) -> None:
    command = [sys.executable, "-m", "etl", "nightly", "--day", first.isoformat(), "--to", last.isoformat()]
    subprocess.run(command, env=airflow.environment(), check=True)


def _backfill(first: date, last: date) -> None:
    """Run each day in Airflow, as `airflow backfill create` does; a day that was run before is run again."""
    backfill = _post(
        "/api/v2/backfills",
        {
            "dag_id": "nightly_events",
            "from_date": f"{first.isoformat()}T00:00:00Z",
            "to_date": f"{last.isoformat()}T23:59:59Z",
            "reprocess_behavior": "completed",
        },
    )
    _unpause("nightly_events")
    airflow.wait_for(f"/api/v2/backfills/{backfill['id']}")
    runs = airflow.ask("GET", "/api/v2/dags/nightly_events/dagRuns?run_type=backfill")["dag_runs"]
    _require(len(runs) == THROUGH_AIRFLOW and all(run["state"] == "success" for run in runs), "a night failed")


def _reports() -> None:
    path = "/api/v2/dags/issuer_reports/dagRuns"
    runs = [_post(path, {"logical_date": None, "conf": {"period": period, "resend": True}}) for period in PERIODS]
    _unpause("issuer_reports")
    for period, run in zip(PERIODS, runs, strict=True):
        ended = airflow.wait_for(f"{path}/{run['dag_run_id']}")
        _require(ended["state"] == "success", f"the reports of {period} failed")


def _post(path: str, wanted: dict[str, Any]) -> Any:
    """Post to Airflow and return its answer; try again while Airflow is busy.

    Airflow's database is SQLite, which refuses a write while another one is under way.
    """
    for pause in (1, 2, 3, 5, 8, 13, 21):
        try:
            return airflow.ask("POST", path, wanted)
        except airflow.BusyError:
            time.sleep(pause)
    return airflow.ask("POST", path, wanted)


def _unpause(dag: str) -> None:
    """Let a DAG start. Call this after its runs are created.

    If the scheduler creates a run at the same moment, SQLite may refuse and the scheduler may stop.
    """
    airflow.ask("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})


def _require(is_well: bool, failure: str) -> None:
    if not is_well:
        raise SystemExit(f"{failure}; `make airflow` shows where")


def _print_summary(home: Path, simulation: Simulation) -> None:
    mails = sorted((home / "mails").glob("*.eml"))
    with (home / "platform" / "registry" / "subscriptions.csv").open() as file:
        subscriptions = len(list(csv.DictReader(file)))
    here = home.relative_to(Path.cwd()) if home.is_relative_to(Path.cwd()) else home
    print(
        f"""
{simulation.mail_events:,} mail events and {simulation.requests:,} requests of {NIGHTS} nights became the figures of
{simulation.certificates} certificates and {simulation.recipients:,} recipients;
{len(mails)} mails left for {subscriptions} subscriptions (one is paused).

  mails     {here}/mails/            open one in any mail program
  reports   {here}/landing/reports/  report.html, report.pdf, recipients.csv, figures.json of each
  figures   ANALYTICS_CONFIG={here}/analytics.toml .venv/bin/python -m etl statistics --as-of {simulation.last_day}
  Airflow   make airflow             the same runs in the UI, on loopback"""
    )


if __name__ == "__main__":
    sys.exit(main())
