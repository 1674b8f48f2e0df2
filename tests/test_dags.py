"""The DAGs under a real Airflow, as a data engineer sees them: a night that fails, is repaired, and is reported on.

One installation runs as long as the module: API server, scheduler and DAG processor on free loopback ports, SQLite
metadata in a temporary home, and two days of a simulated platform. One file of the second day is broken.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from demo import sink
from demo.platform import simulate
from etl import periods, settings, state
from tests.postgres_server import free_port

ROOT = Path(__file__).parent.parent
FIRST, SECOND, AFTER = "2025-03-03", "2025-03-04", "2025-03-05"
DAGS = ("nightly_events", "issuer_reports", "data_retention")
PATIENCE_SECONDS = 900
LONGEST_LOG = 15
NETWORK_TASKS = {"registry", "slice.extract"}
WAREHOUSE_TASKS = {
    "slices", "registry", "slice.load", "statistics", "night_is_whole", "due", "figures", "nothing_is_late",
    "expire",
}  # fmt: skip
CONFIGURATION = """
[landing]
url = "file://{folder}/landing"
[warehouse]
url = "duckdb:///{folder}/warehouse.duckdb"
[registry]
url = "file://{folder}/registry"
[sources.sendgrid]
format = "sendgrid"
files = "file://{folder}/sendgrid/{{day:%Y/%m/%d}}/*.json.gz"
since = 2025-03-03
until = 2025-03-04
[sources.recipient_view]
format = "nginx_combined"
files = "file://{folder}/recipient_view/access.log-{{day:%Y-%m-%d}}*"
since = 2025-03-03
until = 2025-03-04
[mail]
url = "smtp://127.0.0.1:{port}"
[alerts]
mail = "data@example.com"
[privacy]
secret = "HASHES"
"""


@dataclass
class Installation:
    """A running Airflow over a platform's folder."""

    folder: Path
    port: int
    environment: dict[str, str]
    _token: str = field(default="", init=False)

    def airflow(self, *arguments: str) -> None:
        """Run a command of Airflow. Run it again where SQLite was locked by another writer, which undoes all of it."""
        command = [sys.executable, "-m", "airflow", *arguments]
        for _ in range(5):
            run = subprocess.run(
                command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
            )
            if "database is locked" not in run.stderr:
                break
        assert run.returncode == 0, run.stderr

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return an answer of the API that the UI uses."""
        self._token = self._token or self._request("/auth/token", None, {})["access_token"]
        return self._request(f"/api/v2/{path}", body, {"Authorization": f"Bearer {self._token}"})

    def backfill(self, first: str, last: str) -> list[dict[str, Any]]:
        """Backfill nightly_events as its notes say, wait, and return the runs in order."""
        span = ("--from-date", first, "--to-date", last)
        self.airflow("backfill", "create", "--dag-id", "nightly_events", *span, "--reprocess-behavior", "completed")
        return self.finished("nightly_events", logical_date_gte=first, logical_date_lte=last)

    def by_hand(self, dag: str = "issuer_reports", dated: str | None = None, **form: Any) -> dict[str, Any]:
        """Trigger a DAG with the form filled in, wait, and return the run."""
        run = self.ask(f"dags/{dag}/dagRuns", {"logical_date": dated, "conf": form})
        return next(each for each in self.finished(dag) if each["dag_run_id"] == run["dag_run_id"])

    def finished(self, dag: str, **filters: str) -> list[dict[str, Any]]:
        """Wait until all runs of a DAG have ended. Return them by logical date, each with the state of its tasks."""
        query = "&".join(("order_by=logical_date", *(f"{name}={value}T00:00:00Z" for name, value in filters.items())))
        runs = self.until(
            lambda: self.ask(f"dags/{dag}/dagRuns?{query}")["dag_runs"],
            lambda runs: runs and all(run["state"] in ("success", "failed") for run in runs),
        )
        return [run | {"tasks": self._tasks(run)} for run in runs]

    def _tasks(self, run: dict[str, Any]) -> dict[str, str]:
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances?limit=100"
        return {_shown(task): task["state"] for task in self.ask(path)["task_instances"]}

    def log(self, run: dict[str, Any], task: str) -> str:
        """Return the log of a task's first try."""
        return str(self.ask(f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task}/logs/1"))

    def lines(self, run: dict[str, Any], task: str, index: int = -1) -> list[dict[str, Any]]:
        """Return the lines of the log of a task's first try, without the marks that fold them in the UI."""
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task}/logs/1?map_index={index}"
        content: list[dict[str, Any]] = self.ask(path)["content"]
        return [line for line in content if not line["event"].startswith(("::group::", "::endgroup::"))]

    def until(self, look: Any, is_enough: Any) -> Any:
        """Repeat ``look`` until its result ``is_enough``, and return it. Raise TimeoutError after PATIENCE_SECONDS."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not is_enough(found := look()):
            if time.monotonic() > end:
                raise TimeoutError(f"still {found}")
            time.sleep(1)
        return found

    def _request(self, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", content, {"Content-Type": "application/json", **headers}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        """Tell whether the API answers."""
        try:
            return bool(self._request("/api/v2/version", None, {}))
        except OSError:
            return False

    def is_up(self) -> bool:
        """Tell whether all DAGs are parsed."""
        return {dag["dag_id"] for dag in self.ask("dags")["dags"]} >= set(DAGS)


def _shown(task: dict[str, Any]) -> str:
    index = task["rendered_map_index"]
    return f"{task['task_id']} [{index}]" if index else str(task["task_id"])


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """Yield the folder and the port of a mail server that delivers nowhere."""
    folder, port = tmp_path_factory.mktemp("mails"), free_port()
    controller = sink.start(folder, port)
    yield folder, port
    controller.stop()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, mails: tuple[Path, int]) -> Iterator[Installation]:
    """Yield the running Airflow with both DAGs unpaused. One file of the second day is cut short."""
    folder = tmp_path_factory.mktemp("platform")
    simulate(folder, first_day=date.fromisoformat(FIRST), nights=2)
    broken = _first_file(folder)
    shutil.copy(broken, folder / "whole.json.gz")
    broken.write_bytes(broken.read_bytes()[:200])
    (folder / "analytics.toml").write_text(CONFIGURATION.format(folder=folder, port=mails[1]))
    port = free_port()
    one = Installation(folder, port, _environment(folder, port))
    with ExitStack() as stack:
        one.airflow("db", "migrate")
        stack.enter_context(_running(one, "api-server"))
        one.until(one.answers, bool)
        for component in ("scheduler", "dag-processor"):
            stack.enter_context(_running(one, component))
        one.airflow("pools", "set", "warehouse", "1", "tasks that open the warehouse")
        one.until(one.is_up, bool)
        yield one


@pytest.fixture(scope="module")
def nights(installation: Installation) -> list[dict[str, Any]]:
    """Return the runs of both days while the second is broken."""
    return installation.backfill(FIRST, AFTER)


@pytest.fixture(scope="module")
def hours(installation: Installation, nights: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs of issuer_reports up to the second with mail switched on. Its ledger begins two days before."""
    assert nights
    configuration = installation.folder / "analytics.toml"
    switched_off = configuration.read_text()
    ledger = state.open(f"sqlite:///{installation.folder / 'state.db'}", None, settings.from_environment)
    before = periods.parse("2025-03-01", "America/New_York")
    ledger.record("hudson-daily", [before], "baseline", before.end_at)
    configuration.write_text(switched_off.replace("[mail]", "[mail]\nenabled = true\nsend_hour = 0"))
    installation.by_hand()
    installation.by_hand()
    configuration.write_text(switched_off)
    return installation.finished("issuer_reports")


@pytest.fixture(scope="module")
def repaired(installation: Installation, nights: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the run of the second day after its file is restored."""
    assert nights
    shutil.copy(installation.folder / "whole.json.gz", _first_file(installation.folder))
    return installation.backfill(SECOND, AFTER)


def test_files_are_parsed_without_stage_or_configuration(installation):
    """Airflow parses the files again and again, so parsing imports no stage and opens no connection."""
    dags = "import sys, dags.nightly_events, dags.issuer_reports, dags.data_retention; sys.exit(any(name.startswith('etl') for name in sys.modules))"
    environment = installation.environment | {"PYTHONPATH": f"{ROOT}", "ANALYTICS_CONFIG": "/nowhere"}
    subprocess.run([sys.executable, "-c", dags], env=environment, check=True)


def test_airflow_finds_nothing_wrong(installation):
    """Airflow reports neither an import error nor a warning, such as of a missing pool."""
    assert installation.ask("importErrors")["import_errors"] == []
    assert installation.ask("dagWarnings")["dag_warnings"] == []


@pytest.mark.parametrize("dag", DAGS)
def test_notes_name_every_task(installation, dag):
    """For every task that turns red, the notes beside it say what it means and what to do."""
    notes = installation.ask(f"dags/{dag}/details")["doc_md"]
    assert [name for name in _tasks(installation, dag) if f"`{name.split('.')[-1]}`" not in notes] == []


@pytest.mark.parametrize("dag", DAGS)
def test_only_network_tasks_are_retried(installation, dag):
    """A final failure is red at once. A task that uses a network is retried, with growing pauses."""
    tasks = _tasks(installation, dag)
    tried = {name for name, task in tasks.items() if task["retries"] and task["retry_exponential_backoff"] > 1}
    assert tried == {name for name, task in tasks.items() if task["retries"]} == NETWORK_TASKS & tasks.keys()


@pytest.mark.parametrize("dag", DAGS)
def test_one_task_at_a_time_opens_the_warehouse(installation, dag):
    """DuckDB lets one process in, so the tasks that open it share a pool."""
    tasks = _tasks(installation, dag)
    pooled = {name for name, task in tasks.items() if task["pool"] == "warehouse"}
    assert pooled == WAREHOUSE_TASKS & tasks.keys()


def test_failing_source_does_not_hold_up_the_others(installation, nights):
    """The other source of the broken day is loaded, and each mapped task shows the name of its source."""
    states = nights[1]["tasks"]
    assert states[f"slice.normalise [sendgrid {SECOND}]"] == "failed"
    assert states[f"slice.load [recipient_view {SECOND}]"] == states["statistics"] == "success"


def test_failing_source_does_not_leave_the_run_green(installation, nights):
    """The run of the whole day is green, that of the broken day red. Its last task names the slice and the reason."""
    assert [night["state"] for night in nights] == ["success", "failed"]
    log = installation.log(nights[1], "night_is_whole")
    assert f"the night is not whole: sendgrid {SECOND}'" in log
    assert re.search(rf"sendgrid {SECOND}: .+ cannot be read", log)


def test_asset_event_counts_rows(installation, nights):
    """Each night leaves an event of the figures: rows by day and source, and how far the data reach."""
    events = _events(installation, "certificate_statistics")
    counted = {day: rows for event in events for day, rows in event["rows"].items()}
    assert counted[FIRST]["sendgrid"] > 0 < counted[FIRST]["recipient_view"]
    assert counted[SECOND]["sendgrid"] == 0 < counted[SECOND]["recipient_view"]
    assert events[0]["whole_through"] == FIRST
    assert events[0]["lag_hours"] > 0


def test_a_red_night_is_told(nights, mails):
    """Whoever is named under [alerts] gets a mail that names the slice and the reason."""
    told = [mail.read_text() for mail in mails[0].glob("*-data@example.com.eml")]
    assert any(f"sendgrid {SECOND}" in mail for mail in told)


def test_the_last_error_of_a_log_is_its_reason(installation, nights):
    """Whoever opens the log of a red task reads the reason in its last error, and no frames of a stack."""
    for task, index, reason in (
        ("slice.normalise", 0, "cannot be read"),
        ("night_is_whole", -1, f"the night is not whole: sendgrid {SECOND}"),
    ):
        lines = installation.lines(nights[1], task, index)
        assert reason in [line["event"] for line in lines if line.get("level") == "error"][-1]
        assert "frames" not in json.dumps(lines)


def test_logs_are_short(installation, nights):
    """Of a task at most fifteen lines are to be read, and none of a library's steps."""
    path = f"dags/nightly_events/dagRuns/{nights[1]['dag_run_id']}/taskInstances?limit=100"
    ran = [task for task in installation.ask(path)["task_instances"] if task["state"] in ("success", "failed")]
    lengths = {_shown(task): len(installation.lines(nights[1], task["task_id"], task["map_index"])) for task in ran}
    assert {name: count for name, count in lengths.items() if count > LONGEST_LOG} == {}
    assert len(lengths) > len(WAREHOUSE_TASKS & lengths.keys())


@pytest.mark.parametrize(
    ("asset", "names"),
    [
        ("certificate_registry", {"rows", "left_out"}),
        ("raw_slices", {"source", "day", "files", "bytes"}),
        ("warehouse_events", {"source", "day", "rows", "reject_share", "lag_hours"}),
    ],
)
def test_each_load_leaves_its_counts(installation, nights, asset, names):
    """Whoever watches an asset sees how much came, how much of it was rejected, and how late."""
    events = _events(installation, asset)
    assert [names - event.keys() for event in events] == [set()] * len(events) != []


def test_assets_show_who_leaves_and_who_reads_them(installation):
    """The lineage leads from the registry and the raw slices by the warehouse and its figures to the reports."""
    assets = {asset["name"]: asset for asset in installation.ask("assets?limit=100")["assets"]}

    def tasks(asset, kind):
        return [task["task_id"] for task in assets[asset][f"{kind}_tasks"]]

    assert {name: (tasks(name, "producing"), sorted(tasks(name, "consuming"))) for name in assets} == {
        "certificate_registry": (["registry"], ["figures", "statistics"]),
        "raw_slices": (["slice.extract"], ["slice.normalise"]),
        "warehouse_events": (["slice.load"], ["statistics"]),
        "certificate_statistics": (["statistics"], ["figures"]),
        "issuer_reports": (["report"], []),
    }


@pytest.mark.parametrize("dag", DAGS)
def test_dags_can_be_found_by_tag_and_owner(installation, dag):
    """Among the DAGs of others these have a tag, a name to read, an owner, and every task a sentence."""
    found = installation.ask(f"dags/{dag}/details")
    assert "certificate-analytics" in {tag["name"] for tag in found["tags"]}
    assert found["owners"] == ["analysts"]
    assert found["dag_display_name"] == dag.replace("_", " ").capitalize()
    assert [name for name, task in _tasks(installation, dag).items() if not task["doc_md"]] == []


def test_refreshed_figures_start_the_reports(installation, nights):
    """A report whose data became whole need not wait for the next hour."""
    path = "dags/issuer_reports/dagRuns?run_type=asset_triggered"
    assert installation.until(lambda: installation.ask(path)["dag_runs"], bool)


def test_due_report_is_sent_once(hours, mails):
    """A report whose data are whole is sent in the first hour that finds it, and in no other."""
    sent = [run for run in hours if run["tasks"].get("report [hudson-daily 2025-03-02]") == "success"]
    assert len(sent) == 1
    assert len(list(mails[0].glob("*-registrar@hudson.example.eml"))) == 1


def test_missing_slice_is_reported_once(installation, hours):
    """A slice that holds reports back turns one hour red, which names it, and not every hour after."""
    (red,) = (run for run in hours if run["state"] == "failed")
    assert red["tasks"]["nothing_is_late"] == "failed"
    assert f"sendgrid {SECOND}: " in installation.log(red, "nothing_is_late")


def test_hour_without_due_reports_is_green(hours):
    """An hour in which nothing is due is no failure: its remaining tasks are skipped."""
    assert {run["tasks"]["report"] for run in hours if run["state"] == "success" and "report" in run["tasks"]} == {
        "skipped"
    }


def test_backfill_makes_a_repaired_night_whole(installation, repaired):
    """After the file is repaired, the same command turns the day's run green, and runs nothing else."""
    assert [night["state"] for night in repaired] == ["success"]
    assert repaired[0]["tasks"][f"slice.load [sendgrid {SECOND}]"] == "success"


def test_report_by_hand_goes_to_the_tester_alone(installation, repaired, mails):
    """A period and a test address in the form send one mail, though mail is switched off."""
    run = installation.by_hand(subscription="hudson-daily", period=FIRST, test_to="tester@example.com")
    assert run["tasks"][f"report [hudson-daily {FIRST}]"] == run["state"] == "success"
    (mail,) = mails[0].glob("*-tester@example.com.eml")
    assert re.search(r"\nSubject:\s+\[Test\] ", mail.read_text())


def test_files_of_a_report_are_kept(installation, repaired):
    """HTML, PDF, CSV and mail are kept in the landing beside the figures that they show."""
    run = installation.by_hand(subscription="hudson-daily", period=SECOND)
    kept = installation.folder / "landing" / "reports" / "hudson-daily" / SECOND
    assert run["state"] == "success"
    assert {file.name for file in kept.iterdir()} == {
        "figures.json", "report.html", "report.pdf", "recipients.csv", "recipients.xlsx", "message.eml",
    }  # fmt: skip


def test_resend_without_a_period_is_refused(installation, repaired):
    """Re-send without a period would mail everybody again."""
    run = installation.by_hand(resend=True)
    assert run["state"] == "failed"
    assert "resend goes with send and a period" in installation.log(run, "due")


def test_night_by_hand_loads_the_day_of_its_logical_date(installation, repaired):
    """The logical date of a run by hand means the same day as that of a scheduled run."""
    run = installation.by_hand("nightly_events", f"{SECOND}T05:00:00Z")
    assert run["state"] == "success"
    assert run["tasks"][f"slice.load [sendgrid {SECOND}]"] == "success"


def test_day_that_no_run_tried_makes_the_next_run_red(installation, repaired):
    """A run by hand holds the date of a night but asks for another day, so a backfill would skip it: both are red."""
    configuration = installation.folder / "analytics.toml"
    ended = configuration.read_text()
    configuration.write_text(ended.replace(f"until = {SECOND}", "until = 2025-03-06"))
    held = installation.by_hand("nightly_events", f"{AFTER}T02:00:00Z", day=FIRST)
    following = installation.backfill("2025-03-06", "2025-03-07")
    configuration.write_text(ended)
    assert (held["state"], held["tasks"]["slices"]) == ("failed", "failed")
    assert f"has the date of the night of {AFTER} but would load {FIRST}" in installation.log(held, "slices")
    assert [run["state"] for run in following] == ["failed"]
    assert f"sendgrid {AFTER}: no run has tried it; run that day" in installation.log(following[0], "night_is_whole")


def test_many_days_by_hand_are_one_run(installation, repaired):
    """The form's first and last day and its sources make one run, with a task for each day and source."""
    run = installation.by_hand("nightly_events", day=FIRST, to=SECOND, sources=["sendgrid"])
    assert run["state"] == "success"
    loaded = {task for task in run["tasks"] if task.startswith("slice.load")}
    assert loaded == {f"slice.load [sendgrid {day}]" for day in (FIRST, SECOND)}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"day": SECOND, "to": FIRST}, "the days go forward"),
        ({"day": "2025-03-01"}, "lies before 2025-03-03, the first day that is expected"),
        ({"day": FIRST, "sources": ["sendgird"]}, "there is no source"),
        ({"to": FIRST}, "name both, or leave both out"),
    ],
)
def test_a_form_that_makes_no_sense_loads_nothing(installation, repaired, form, reason):
    """The first task says in one sentence what is wrong, and no other task of a slice runs."""
    run = installation.by_hand("nightly_events", **form)
    assert (run["state"], run["tasks"]["slices"]) == ("failed", "failed")
    assert reason in installation.log(run, "slices")


@pytest.mark.parametrize("form", [{"day": "2025-13-01"}, {"to": "soon"}, {"sources": "sendgrid"}, {"replace": "maybe"}])
def test_a_form_with_a_wrong_value_makes_no_run(installation, form):
    """What is no date, no list of names or no yes or no is refused by the trigger itself."""
    with pytest.raises(urllib.error.HTTPError, match="400"):
        installation.ask("dags/nightly_events/dagRuns", {"logical_date": None, "conf": form})


def test_retention_by_hand_only_says_what_it_would_remove(installation, repaired):
    """With the box of the form ticked nothing is removed, and the log names each kind."""
    run = installation.by_hand("data_retention", dry_run=True)
    assert run["state"] == "success"
    assert "retention (dry run): raw 0 files" in installation.log(run, "expire")


def _tasks(installation: Installation, dag: str) -> dict[str, dict[str, Any]]:
    return {task["task_id"]: task for task in installation.ask(f"dags/{dag}/tasks")["tasks"]}


def _events(installation: Installation, asset: str) -> list[dict[str, Any]]:
    """Return what the events of an asset say, the newest first."""
    events = installation.ask("assets/events?limit=100&order_by=-timestamp")["asset_events"]
    return [event["extra"] for event in events if event["name"] == asset]


def _first_file(folder: Path) -> Path:
    return min((folder / "sendgrid" / SECOND.replace("-", "/")).iterdir())


def _environment(folder: Path, port: int) -> dict[str, str]:
    address = f"http://127.0.0.1:{port}"
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "ANALYTICS_CONFIG": str(folder / "analytics.toml"),
        "AIRFLOW_CONN_HASHES": "generic://:of-the-tests-alone@",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__SECRET_KEY": "of the tests alone",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of the tests alone, and long enough to sign with",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "3",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'metadata.db'}",
        "AIRFLOW__OPERATORS__DEFAULT_OWNER": "analysts",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


@contextmanager
def _running(installation: Installation, component: str) -> Iterator[None]:
    """Run a component of Airflow with all its workers until the block ends."""
    command = [sys.executable, "-m", "airflow", component]
    with (installation.folder / f"{component}.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env=installation.environment,
            cwd=installation.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
