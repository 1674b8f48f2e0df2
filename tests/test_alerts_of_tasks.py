"""Whoever is on call is alerted to a red task: once, and once when it is over."""

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from dags import alerts
from etl import pipeline, settings, status_page
from etl.errors import NoFiles, QueryError
from tests import test_status as nights
from tests.test_deliver import ScriptedServer, serving

LINK = "https://airflow.example.com/log"


@contextmanager
def alerts_to(landing: Any, monkeypatch: Any, *answers: str, **configured: Any) -> Any:
    """Yield the mail server that gets the alerts of tasks."""
    server = ScriptedServer(*answers)
    with serving(server) as mail, nights.opened(landing, mail, mail="data@example.com", **configured) as context:

        @contextmanager
        def opened() -> Any:
            yield context

        monkeypatch.setattr(alerts, "opened_context", opened)
        server.context = context
        yield server


def ti(**differing: Any) -> Any:
    """Return what Airflow passes of a task."""
    return SimpleNamespace(dag_id="nightly_events", task_id="statistics", log_url=LINK, **differing)


def subjects(server: Any) -> list[str]:
    """Return the subjects of the mails, without their beginning."""
    return [message["Subject"].strip().removeprefix("[Certificate analytics] ") for message in server.messages]


def test_a_red_task_is_alerted_once_and_once_when_it_is_over(landing: Any, monkeypatch: Any) -> None:
    """The mail says which task, why, and where its log is; a green run of it ends the matter, and later ones are silent."""
    with alerts_to(landing, monkeypatch, "ok", "ok") as server:
        for _ in range(2):
            alerts.task_is_red({"ti": ti(), "exception": AirflowFailException("the warehouse is in use")})
        for _ in range(2):
            alerts.task_is_green({"ti": ti()})
    name = "nightly_events statistics"
    assert subjects(server) == [f"1 new: {name}: the warehouse is in use", f"over: {name}"]
    assert f"see {LINK}" in server.messages[0].get_body().get_content()


def test_the_state_of_the_nights_does_not_end_a_red_task(landing: Any, monkeypatch: Any) -> None:
    """What only Airflow sees is over when Airflow says so, not when the slices are whole."""
    with alerts_to(landing, monkeypatch, "ok", "ok") as server:
        nights.load(server.context, *nights.DAYS)
        alerts.task_is_red({"ti": ti(), "exception": AirflowFailException("no")})
        status_page.publish(server.context, nights.NOW)
    assert subjects(server) == ["1 new: nightly_events statistics: no"]


def test_each_mapped_task_is_a_cause_of_its_own(landing: Any, monkeypatch: Any) -> None:
    """A report that fails is named, and does not hide another."""
    with alerts_to(landing, monkeypatch, "ok", "ok") as server:
        for name in ("s1 2026-11", "s2 2026-11", "s1 2026-11"):
            alerts.task_is_red({"ti": ti(rendered_map_index=name), "exception": AirflowFailException("no")})
    assert [subject.split(": ")[1] for subject in subjects(server)] == [
        f"nightly_events statistics [{name}]" for name in ("s1 2026-11", "s2 2026-11")
    ]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NoFiles("logs", nights.FIRST, "*"), "logs 2026-11-02: no file matches"),
        (KeyError("person@example.com"), "it failed with KeyError"),
        (None, "it was killed"),
    ],
)
def test_a_reason_holds_no_data(error: Any, reason: str) -> None:
    """Of an error that is none of ours only the class is named: its text may be a record."""
    assert alerts.reason_of(error).startswith(reason)


def test_an_alert_that_cannot_be_sent_fails_no_task(landing: Any, monkeypatch: Any, caplog: Any) -> None:
    """A configuration that cannot be read is the reason of the task already; the callback warns."""

    @contextmanager
    def broken() -> Any:
        raise AirflowFailException("no configuration at /nowhere")
        yield

    monkeypatch.setattr(alerts, "opened_context", broken)
    alerts.task_is_red({"ti": ti(), "exception": None})
    assert "no alert could be sent: no configuration at /nowhere" in caplog.text


def test_without_an_address_nobody_is_alerted(landing: Any, monkeypatch: Any) -> None:
    """Alerts are off by default."""
    with alerts_to(landing, monkeypatch) as server:
        configured = server.context.settings.model_copy(update={"alerts": settings.Alerts()})
        context = pipeline.Context(configured, {}.get, landing, server.context.state, "")
        assert not pipeline.alert_red(context, "nightly_events due", "no", "see", nights.NOW)
    assert server.messages == []


@pytest.mark.parametrize(
    ("error", "is_expected"), [(NoFiles("logs", nights.FIRST, "*"), True), (QueryError("x"), False)]
)
def test_only_defects_keep_their_frames(error: Exception, is_expected: bool) -> None:
    """The sentence of an expected failure is all of it; of a defect the stack is wanted."""
    assert pipeline.is_expected(error) is is_expected
    assert not pipeline.is_expected(KeyError("x"))
    assert not pipeline.is_expected(None)
