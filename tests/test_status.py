"""The state of the nights: what needs a person is shown, told once, and told again when it is over."""

import json
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from etl import pipeline, settings, state, status_page
from etl.errors import ConfigurationError
from etl.landing import Counts, Manifest, slice_prefix
from etl.pipeline import failures
from tests.test_deliver import ScriptedServer, serving

FIRST = date(2026, 11, 2)
NOW = datetime(2026, 11, 5, 7, tzinfo=UTC)
DAYS = [FIRST + timedelta(days=number) for number in range(3)]


@contextmanager
def opened(landing: Any, server: settings.Mail | None = None, **alerts: Any) -> Any:
    """Yield the context of an installation with one source since ``FIRST``, and a registry."""
    sources = {"logs": settings.Source(format="sendgrid", files="*", since=FIRST)}
    configured = settings.Settings.model_construct(
        sources=sources,
        warehouse=settings.Warehouse(url=f"duckdb:///{landing.root}/warehouse.duckdb"),
        mail=server or settings.Mail(),
        alerts=settings.Alerts(**alerts),
    )
    ledger = state.open(f"sqlite:///{landing.root}.db", None, {}.get)
    landing.publish(Manifest(prefix="registry", counts=Counts(raw=4, event=4), status="valid"))
    yield pipeline.Context(configured, {}.get, landing, ledger, "")


def load(context: Any, *days: date) -> None:
    """Load empty slices."""
    for day in days:
        context.landing.publish(Manifest(prefix=slice_prefix("logs", day), status="valid"))
        pipeline.load_slice(context, "logs", day, replace=False, now=NOW)


def test_a_whole_installation_needs_nobody(landing: Any) -> None:
    """The page says how far the data are whole."""
    with opened(landing) as context:
        load(context, *DAYS)
        status = pipeline.nights_status(context, NOW)
    assert (status["whole_through"], status["troubles"]) == ("2026-11-04", [])
    assert status_page.text(status).endswith("Nothing needs a person.\n")
    assert "Data are whole through 2026-11-04" in status_page.html(status)


@pytest.mark.parametrize(("hour", "is_late"), [(3, False), (5, False), (6, True), (23, True)])
def test_a_night_is_late_after_its_deadline(landing: Any, hour: int, is_late: bool) -> None:
    """The night begins at 02:00, and with four hours the slice of yesterday is late from 06:00 on."""
    with opened(landing) as context:
        load(context, *DAYS[:2])
        status = pipeline.nights_status(context, NOW.replace(hour=hour))
    assert [each["what"] for each in status["troubles"]] == (["logs 2026-11-04: never tried"] if is_late else [])


def test_missing_days_are_one_line_with_their_cure(landing: Any) -> None:
    """Days of one reason are named together; the cure is a command."""
    with opened(landing) as context:
        failures.record(context, "logs", DAYS[0], "no file matches *")
        failures.record(context, "logs", DAYS[1], "no file matches *")
        load(context, DAYS[2])
        status = pipeline.nights_status(context, NOW)
    [trouble] = status["troubles"]
    assert trouble["what"] == "logs 2026-11-02 to 2026-11-03 (2 days): no file matches *"
    assert "nightly --day 2026-11-02 --to 2026-11-03 --source logs" in trouble["cure"]
    assert f"- {trouble['what']}" in status_page.text(status)
    assert trouble["what"] in status_page.html(status)


def test_the_state_is_one_json_document(landing: Any) -> None:
    """A program that watches the nights reads the same facts."""
    with opened(landing) as context:
        load(context, *DAYS)
        document = json.loads(json.dumps(pipeline.nights_status(context, NOW), default=str))
    assert document["sources"][0]["slices"]["2026-11-02"]["status"] == "empty"
    assert set(document["sizes"]) == {"other"}


def test_a_cause_is_told_once_and_once_when_it_is_over(landing: Any) -> None:
    """Whoever reads the mails knows what is open, and gets none while nothing changes."""
    server = ScriptedServer("ok", "ok", "ok")
    with serving(server) as mail, opened(landing, mail, mail="data@example.com") as context:
        load(context, *DAYS[:2])
        for _ in range(2):
            status_page.publish(context, NOW)
        load(context, DAYS[2])
        for _ in range(2):
            status_page.publish(context, NOW)
    subjects = [message["Subject"] for message in server.messages]
    assert subjects == [
        "[Certificate analytics] 1 new: logs 2026-11-04: never tried",
        "[Certificate analytics] over: slice logs 2026-11-04",
    ]
    assert "nightly --day 2026-11-04" in server.messages[0].get_body().get_content()
    assert [message["To"] for message in server.messages] == ["data@example.com"] * 2


def test_a_late_slice_that_failed_since_is_told_again_with_its_reason(landing: Any) -> None:
    """Whoever was told that a slice is late is told why, once it was tried. What is still open keeps its cure beside it."""
    server = ScriptedServer("ok", "ok", "ok")
    with serving(server) as mail, opened(landing, mail, mail="data@example.com") as context:
        load(context, DAYS[0])
        status_page.publish(context, NOW)
        failures.record(context, "logs", DAYS[1], "no file matches *")
        for _ in range(2):
            status_page.publish(context, NOW, "https://airflow.example.com/log")
        load(context, DAYS[2])
        status_page.publish(context, NOW)
    assert [message["Subject"].removeprefix("[Certificate analytics] ") for message in server.messages] == [
        "1 new: logs 2026-11-03 to 2026-11-04 (2 days): never tried",
        "1 new: logs 2026-11-03: no file matches *",
        "over: slice logs 2026-11-04; 1 still open",
    ]
    second, third = (message.get_body().get_content() for message in server.messages[1:])
    assert "Over" not in second and second.rstrip().endswith("The log: https://airflow.example.com/log")
    assert "nightly --day 2026-11-03 --to 2026-11-03 --source logs" in third.split("Still open:")[1]


def test_an_alert_that_does_not_leave_is_told_by_the_next_night(landing: Any) -> None:
    """A mail server that is down neither fails the night nor swallows the alert."""
    dead = settings.Mail(url="smtp://127.0.0.1:1")
    with opened(landing, dead, mail="data@example.com") as context:
        status_page.publish(context, NOW)
    server = ScriptedServer("ok")
    with serving(server) as mail, opened(landing, mail, mail="data@example.com") as context:
        status_page.publish(context, NOW)
    assert len(server.messages) == 1


def test_a_waiver_is_for_a_slice_that_is_missing(landing: Any) -> None:
    """A loaded slice, a day that is not expected and an unknown source hold nothing back, so they are refused."""
    with opened(landing) as context:
        load(context, DAYS[0])
        for day, reason in (
            (DAYS[0], "is empty"),
            (FIRST - timedelta(days=1), "not expected"),
            (date(2999, 1, 1), "not expected"),
        ):
            with pytest.raises(ConfigurationError, match=reason):
                pipeline.waive(context, "logs", day, "outage")
        assert "is waived" in pipeline.waive(context, "logs", DAYS[1], "outage  at\nthe provider")
        assert pipeline.list_waivers(context) == [
            {"source": "logs", "load_date": DAYS[1], "reason": "outage at the provider"}
        ]
        assert "expected again" in pipeline.undo_waiver(context, "logs", DAYS[1])
        assert pipeline.list_waivers(context) == []
        with pytest.raises(ConfigurationError, match="not waived"):
            pipeline.undo_waiver(context, "logs", DAYS[1])
