"""The DAGs under a real Airflow, as a data engineer sees them: nights that fail, are repaired, and are reported on.

One installation runs as long as the module, with all four processes over PostgreSQL, and two days of a simulated platform.
One file of the second day is broken. Two small sources by hand make the first night one of four sources.
"""

import json
import re
import shutil
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from demo import sink
from demo.platform import simulate
from etl import periods, settings, state
from tests.installation import DAGS, ROOT, Installation, running, shown
from tests.postgres_server import free_port

FIRST, SECOND, AFTER = "2025-03-03", "2025-03-04", "2025-03-05"
HEALED: set[str] = set()
"""The runs that were cleared and are green."""
WEEK = [str(date.fromisoformat(FIRST) + timedelta(days=number)) for number in range(-5, 2)]
"""Seven days that end with the second."""
LATE = str((datetime.now(UTC) - timedelta(hours=3)).date() - timedelta(days=1))
"""The last day whose night began at least an hour ago."""
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
[sources.postmark]
format = "postmark"
files = "file://{folder}/postmark/{{day:%Y-%m-%d}}.json"
since = 2025-03-03
until = 2025-03-03
[sources.badge_view]
format = "nginx_json"
files = "file://{folder}/badge_view/{{day:%Y-%m-%d}}.json"
since = 2025-03-03
until = 2025-03-04
may_be_empty = true
[mail]
url = "smtp://127.0.0.1:{port}"
[alerts]
mail = "data@example.com"
[privacy]
secret = "HASHES"
"""


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """Yield the folder and the port of a mail server that delivers nowhere."""
    folder, port = tmp_path_factory.mktemp("mails"), free_port()
    controller = sink.start(folder, port)
    yield folder, port
    controller.stop()


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, mails: tuple[Path, int], postgres_server: int
) -> Iterator[Installation]:
    """Yield the running Airflow. One file of the second day is cut short."""
    folder = tmp_path_factory.mktemp("platform")
    simulate(folder, first_day=date.fromisoformat(FIRST), nights=2)
    _write_small_sources(folder)
    broken = _first_file(folder)
    shutil.copy(broken, folder / "whole.json.gz")
    broken.write_bytes(broken.read_bytes()[:200])
    (folder / "analytics.toml").write_text(CONFIGURATION.format(folder=folder, port=mails[1]))
    with running(folder, postgres_server, AIRFLOW_CONN_HASHES="generic://:of-the-tests-alone@") as one:
        yield one


@pytest.fixture(scope="module")
def nights(installation: Installation) -> list[dict[str, Any]]:
    """Return the runs of both days while the second is broken."""
    return installation.backfill(FIRST, AFTER)


@pytest.fixture(scope="module")
def hours(installation: Installation, nights: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs of issuer_reports up to the second with mail switched on. Its ledger begins two days before.

    Meanwhile a further source owes its first day for longer than the deadline, and no run has tried it.
    """
    assert nights
    ledger = state.open(f"sqlite:///{installation.folder / 'state.db'}", None, settings.from_environment)
    before = periods.parse("2025-03-01", "America/New_York")
    ledger.record("hudson-daily", [before], "baseline", before.end_at)
    switched_off = _reconfigure(
        installation,
        "[mail]",
        f"""[sources.ses]
format = "ses"
files = "file:///nowhere/{{day:%Y-%m-%d}}"
since = {LATE}
until = {LATE}
[mail]
enabled = true
send_hour = 0""",
    )
    _reconfigure(installation, "[alerts]", "[alerts]\ndeadline_hours = 1")
    installation.by_hand()
    installation.by_hand()
    (installation.folder / "analytics.toml").write_text(switched_off)
    return installation.finished("issuer_reports")


@pytest.fixture(scope="module")
def week(installation: Installation, nights: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs of a week's backfill, after the broken file is whole and a source begins five days earlier."""
    assert nights
    shutil.copy(installation.folder / "whole.json.gz", _first_file(installation.folder))
    _reconfigure(
        installation,
        'badge_view/{day:%Y-%m-%d}.json"\nsince = 2025-03-03',
        f'badge_view/{{day:%Y-%m-%d}}.json"\nsince = {WEEK[0]}',
    )
    return installation.backfill(WEEK[0], AFTER)


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


def test_all_processes_of_airflow_run(installation):
    """What is held here holds in production: PostgreSQL for the metadata, four processes, and workers of their own."""
    healthy = dict.fromkeys(("metadatabase", "scheduler", "triggerer", "dag_processor"), "healthy")

    def health():
        return {part: found["status"] for part, found in installation.ask("monitor/health").items()}

    assert installation.until(health, lambda found: found == healthy)


def test_a_night_has_a_group_for_each_of_four_sources(nights):
    """Every source of the night is loaded, each in its own mapped group that has its name."""
    loaded = {
        name for name, state in nights[0]["tasks"].items() if name.startswith("slice.load") and state == "success"
    }
    sources = ("sendgrid", "recipient_view", "postmark", "badge_view")
    assert loaded == {f"slice.load [{source} {FIRST}]" for source in sources}


def test_failing_source_does_not_hold_up_the_others(installation, nights):
    """The other source of the broken day is loaded and counted, and each mapped task shows the name of its source."""
    states = nights[1]["tasks"]
    assert states[f"slice.normalise [sendgrid {SECOND}]"] == "failed"
    assert states[f"slice.load [recipient_view {SECOND}]"] == "success"
    assert states["statistics"] == "upstream_failed"
    assert "the stored figures are up to date" in installation.log(nights[1], "night_is_whole")


def test_failing_source_does_not_leave_the_run_green(installation, nights):
    """The run of the whole day is green, that of the broken day red. Its last task names the slice and the reason."""
    assert [night["state"] for night in nights] == ["success", "failed"]
    log = installation.log(nights[1], "night_is_whole")
    assert f"the night is not whole: sendgrid {SECOND}'" in log
    assert re.search(rf"sendgrid {SECOND}: .+ cannot be read", log)


def test_asset_event_counts_rows(installation, nights):
    """A whole night leaves an event of the figures: rows by day and source, and how far the data reach."""
    (event,) = (event for event in _events(installation, "certificate_statistics") if FIRST in event["rows"])
    assert event["rows"][FIRST]["sendgrid"] > 0 < event["rows"][FIRST]["recipient_view"]
    assert event["whole_through"] == FIRST
    assert event["lag_hours"] > 0


def test_a_red_night_is_told(installation, nights, mails):
    """Whoever is named under [alerts] gets a mail that names the slice, the reason, what to do, and a link to the log."""
    (told,) = (mail for mail in _alerts(mails[0]) if "cannot be read" in _part(mail, "Needs a person"))
    text = told.get_body().get_content()
    assert f"nightly --day {SECOND} --to {SECOND} --source sendgrid" in text
    # Reports that the new statistics started may look before the night's last task does.
    place = f"http://127.0.0.1:{installation.port}/dags"
    assert re.search(f"The log: {place}/(nightly_events|issuer_reports)/runs/.*/tasks/", text)


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
    lengths = {shown(task): len(installation.lines(nights[1], task["task_id"], task["map_index"])) for task in ran}
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


def test_a_slice_that_misses_the_deadline_is_told_once(hours, mails):
    """Within the hour after the deadline a mail names the slice and what to do, though no run has failed. No other follows."""
    told = [mail for mail in _alerts(mails[0]) if f"ses {LATE}: never tried" in mail.get_body().get_content()]
    new = [mail for mail in told if f"ses {LATE}: never tried" in _part(mail, "Needs a person")]
    assert len(new) == 1
    assert f"nightly --day {LATE} --to {LATE} --source ses" in new[0].get_body().get_content()


def test_missing_slice_is_reported_once(installation, hours):
    """A slice that holds reports back turns one hour red, which names it, and not every hour after."""
    red = [run for run in hours if run["state"] == "failed"]
    assert {run["tasks"]["nothing_is_late"] for run in red} == {"failed"}
    assert len([run for run in red if f"sendgrid {SECOND}: " in installation.log(run, "nothing_is_late")]) == 1


def test_hour_without_due_reports_is_green(hours):
    """An hour in which nothing is due is no failure: its remaining tasks are skipped."""
    assert {run["tasks"]["report"] for run in hours if run["state"] == "success" and "report" in run["tasks"]} == {
        "skipped"
    }


@pytest.mark.parametrize(
    "cleared",
    [
        {"only_failed": True},
        {"only_failed": False, "task_ids": ["slice.normalise"], "include_downstream": True},
        {"only_failed": False},
    ],
    ids=["what failed", "the red task and what follows", "the whole run"],
)
def test_whatever_is_cleared_the_run_is_healed(installation, nights, hours, cleared):
    """Once the file is whole, the run turns green however it is cleared, and the figures are refreshed after the late load."""
    file = _first_file(installation.folder)
    if nights[1]["dag_run_id"] in HEALED:
        file.write_bytes(file.read_bytes()[:200])
        again = {"task_ids": ["slice.extract"], "include_downstream": True}
        assert installation.cleared(nights[1], only_failed=False, **again)["state"] == "failed"
    shutil.copy(installation.folder / "whole.json.gz", file)
    run = installation.cleared(nights[1], **cleared)
    HEALED.add(run["dag_run_id"])
    path = f"dags/nightly_events/dagRuns/{run['dag_run_id']}/taskInstances?limit=100"
    tasks = installation.ask(path)["task_instances"]
    assert (run["state"], {task["state"] for task in tasks}) == ("success", {"success"})
    (figures,) = (task["start_date"] for task in tasks if task["task_id"] == "statistics")
    assert figures > max(task["end_date"] for task in tasks if task["task_id"] == "slice.load")


def test_a_backfill_of_a_week_brings_what_is_missing_and_runs_the_rest_again(installation, week):
    """Seven runs: days that had none are loaded, and those that were run are run again."""
    assert [(night["logical_date"][:10], night["state"]) for night in week] == [(day, "success") for day in WEEK]
    assert week[-1]["tasks"][f"slice.load [sendgrid {SECOND}]"] == "success"
    loaded = {name for night in week for name in night["tasks"] if name.startswith("slice.load [badge_view")}
    assert loaded == {f"slice.load [badge_view {day}]" for day in WEEK}
    newest = installation.until(
        lambda: max(installation.ask("backfills?dag_id=nightly_events")["backfills"], key=lambda each: each["id"]),
        lambda backfill: backfill["completed_at"],
    )
    assert newest["reprocess_behavior"] == "completed"


def test_report_by_hand_goes_to_the_tester_alone(installation, week, mails):
    """A period and a test address in the form send one mail, though mail is switched off."""
    run = installation.by_hand(subscription="hudson-daily", period=FIRST, test_to="tester@example.com")
    assert run["tasks"][f"report [hudson-daily {FIRST}]"] == run["state"] == "success"
    (mail,) = mails[0].glob("*-tester@example.com.eml")
    assert re.search(r"\nSubject:\s+\[Test\] ", mail.read_text())


def test_files_of_a_report_are_kept(installation, week):
    """HTML, PDF, CSV and mail are kept in the landing beside the figures that they show."""
    run = installation.by_hand(subscription="hudson-daily", period=SECOND)
    kept = installation.folder / "landing" / "reports" / "hudson-daily" / SECOND
    assert run["state"] == "success"
    assert {file.name for file in kept.iterdir()} == {
        "figures.json", "report.html", "report.pdf", "recipients.csv", "recipients.xlsx", "message.eml",
    }  # fmt: skip


def test_resend_without_a_period_is_refused(installation, week):
    """Re-send without a period would mail everybody again."""
    run = installation.by_hand(resend=True)
    assert run["state"] == "failed"
    assert "resend goes with send and a period" in installation.log(run, "due")


def test_night_by_hand_loads_the_day_of_its_logical_date(installation, week):
    """The logical date of a run by hand means the same day as that of a scheduled run."""
    run = installation.by_hand("nightly_events", f"{SECOND}T05:00:00Z")
    assert run["state"] == "success"
    assert run["tasks"][f"slice.load [sendgrid {SECOND}]"] == "success"


def test_day_that_no_run_tried_makes_the_next_run_red(installation, week):
    """A run by hand holds the date of a night but asks for another day, so a backfill would skip it: both are red."""
    ended = _reconfigure(installation, f"until = {SECOND}", "until = 2025-03-06")
    held = installation.by_hand("nightly_events", f"{AFTER}T02:00:00Z", day=FIRST)
    following = installation.backfill("2025-03-06", "2025-03-07")
    (installation.folder / "analytics.toml").write_text(ended)
    assert (held["state"], held["tasks"]["slices"]) == ("failed", "failed")
    assert f"has the date of the night of {AFTER} but would load {FIRST}" in installation.log(held, "slices")
    assert [run["state"] for run in following] == ["failed"]
    assert f"sendgrid {AFTER}: no run has tried it; run that day" in installation.log(following[0], "night_is_whole")


def test_many_days_by_hand_are_one_run(installation, week):
    """The form's first and last day and its sources make one run, with a task for each day and source."""
    run = installation.by_hand("nightly_events", day=FIRST, to=SECOND, sources=["sendgrid"])
    assert run["state"] == "success"
    loaded = {task for task in run["tasks"] if task.startswith("slice.load")}
    assert loaded == {f"slice.load [sendgrid {day}]" for day in (FIRST, SECOND)}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"day": SECOND, "to": FIRST}, "the days go forward"),
        ({"day": "2025-02-01"}, f"lies before {WEEK[0]}, the first day that is expected"),
        ({"day": FIRST, "sources": ["sendgird"]}, "there is no source"),
        ({"to": FIRST}, "name both, or leave both out"),
    ],
)
def test_a_form_that_makes_no_sense_loads_nothing(installation, week, form, reason):
    """The first task says in one sentence what is wrong, and no other task of a slice runs."""
    run = installation.by_hand("nightly_events", **form)
    assert (run["state"], run["tasks"]["slices"]) == ("failed", "failed")
    assert reason in installation.log(run, "slices")


@pytest.mark.parametrize("form", [{"day": "2025-13-01"}, {"to": "soon"}, {"sources": "sendgrid"}, {"replace": "maybe"}])
def test_a_form_with_a_wrong_value_makes_no_run(installation, form):
    """What is no date, no list of names or no yes or no is refused by the trigger itself."""
    with pytest.raises(urllib.error.HTTPError, match="400"):
        installation.ask("dags/nightly_events/dagRuns", {"logical_date": None, "conf": form})


def test_retention_by_hand_only_says_what_it_would_remove(installation, week):
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


def _alerts(folder: Path) -> list[EmailMessage]:
    """Return the mails to whoever is named under [alerts], in the order in which they came."""
    files = sorted(folder.glob("*-data@example.com.eml"))
    return [message_from_bytes(file.read_bytes(), policy=default) for file in files]


def _part(mail: EmailMessage, title: str) -> str:
    """Return the part of an alert below a title."""
    parts = mail.get_body().get_content().replace("\r\n", "\n").split("\n\n")
    return next((part for part in parts if part.startswith(f"{title}:")), "")


def _first_file(folder: Path) -> Path:
    return min((folder / "sendgrid" / SECOND.replace("-", "/")).iterdir())


def _write_small_sources(folder: Path) -> None:
    """Write a day of Postmark's events with one record, and two of a proxy's log with one request each."""
    for name in ("postmark", "badge_view"):
        (folder / name).mkdir()
    delivery = {
        "RecordType": "Delivery",
        "MessageID": "m1",
        "Recipient": "a@b.example",
        "DeliveredAt": f"{FIRST}T10:00:00Z",
    }
    (folder / "postmark" / f"{FIRST}.json").write_text(json.dumps(delivery))
    for day in (FIRST, SECOND):
        request = {
            "time_iso8601": f"{day}T10:00:00+00:00",
            "request": "GET /px.gif?e=view&r=r1 HTTP/1.1",
            "status": 200,
        }
        (folder / "badge_view" / f"{day}.json").write_text(json.dumps(request))


def _reconfigure(installation: Installation, old: str, new: str) -> str:
    """Replace a part of the configuration, and return it as it was."""
    file = installation.folder / "analytics.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return text
