"""Alerts go through a connection of Airflow's, by the real notifier of each provider, to a server on loopback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dags import notifier
from etl.errors import UnsentAlert
from tests import test_status as nights

SUBJECT, TEXT = "1 new: logs 2026-11-04: never tried", "Needs a person:\n- logs <2026-11-04> & more {{ conf }}\n"


@contextmanager
def serving(status: int = 200) -> Iterator[tuple[int, list[tuple[str, Any]]]]:
    """Yield the port of a web server, and the paths and documents that were posted to it."""
    posted: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.path, json.loads(content)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, posted
    server.shutdown()
    server.server_close()


def configure(monkeypatch: Any, port: int, kind: str, **connection: Any) -> None:
    """Give Airflow the connection ``ops``."""
    content = {"conn_type": kind, "host": f"http://127.0.0.1:{port}"} | connection
    monkeypatch.setenv("AIRFLOW_CONN_OPS", json.dumps(content))


def test_slack_gets_the_text_as_its_webhook_takes_it(monkeypatch: Any) -> None:
    """Slack's three special characters are escaped, and nothing in the text is taken for a template."""
    with serving() as (port, posted):
        configure(monkeypatch, port, "slackwebhook", password="T0/B0/secret")
        notifier.notify("ops", SUBJECT, TEXT)
    [(path, document)] = posted
    assert path == "/T0/B0/secret"
    assert document["text"] == f"*{SUBJECT}*\nNeeds a person:\n- logs &lt;2026-11-04&gt; &amp; more {{{{ conf }}}}\n"


def test_discord_gets_no_more_than_it_takes(monkeypatch: Any) -> None:
    """Discord refuses what is longer than 2,000 characters, so a long alert is cut there."""
    with serving() as (port, posted):
        configure(monkeypatch, port, "discord", extra={"webhook_endpoint": "webhooks/1/secret"})
        notifier.notify("ops", SUBJECT, TEXT * 100)
    [(path, document)] = posted
    assert path == "/webhooks/1/secret"
    assert document["content"].startswith(f"**{SUBJECT}**\nNeeds a person:")
    assert len(document["content"]) == notifier.DISCORDS_LIMIT


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a library that Apprise uses
def test_apprise_reaches_its_services(monkeypatch: Any) -> None:
    """Each service of the connection gets the subject as its title."""
    with serving() as (port, posted):
        services = {"path": f"json://127.0.0.1:{port}/hook", "tag": "ops"}
        configure(monkeypatch, port, "apprise", extra={"config": services})
        notifier.notify("ops", SUBJECT, TEXT)
    [(path, document)] = posted
    assert (path, document["title"], document["message"].strip()) == ("/hook", SUBJECT, TEXT.strip())


def test_a_web_address_gets_json(monkeypatch: Any) -> None:
    """What has no provider of its own takes subject and text as JSON."""
    with serving() as (port, posted):
        configure(monkeypatch, port, "http")
        notifier.notify("ops", SUBJECT, TEXT)
    assert posted == [("/", {"subject": SUBJECT, "text": TEXT})]


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("slackwebhook", 404, "connection ops: it failed with AirflowException"),
        ("ssh", 200, "connection ops: its type is ssh, and must be one of apprise, discord, http, slackwebhook"),
        (None, 200, "connection ops: Airflow cannot give it (AirflowNotFoundException)"),
    ],
)
def test_what_cannot_be_sent_says_why_without_the_secret(monkeypatch: Any, kind: Any, status: int, reason: str) -> None:
    """The address of a webhook is a secret, and no library's words about it are repeated."""
    with serving(status) as (port, _):
        if kind:
            configure(monkeypatch, port, kind, password="T0/B0/secret")
        with pytest.raises(UnsentAlert) as raised:
            notifier.notify("ops", SUBJECT, TEXT)
    assert str(raised.value) == reason


def test_a_provider_that_is_missing_is_named(monkeypatch: Any) -> None:
    """Whoever configured the connection reads which package to install."""
    monkeypatch.setitem(
        notifier.NOTIFIERS, "http", notifier.NOTIFIERS["http"]._replace(module="airflow.providers.nowhere")
    )
    configure(monkeypatch, 1, "http")
    with pytest.raises(UnsentAlert, match="install apache-airflow-providers-http"):
        notifier.notify("ops", SUBJECT, TEXT)


def test_a_cause_is_told_once_through_the_connection(landing: Any, monkeypatch: Any, caplog: Any) -> None:
    """Without an address the connection alone is told. What could not be sent is told again by the next run."""
    with serving() as (port, posted), nights.opened(landing, connection="ops") as context:
        telling = replace(context, notify=notifier.notify)
        configure(monkeypatch, port, "ssh")
        assert not nights.pipeline.alert_red(telling, "nightly_events due", "no", "see", nights.NOW)
        assert "the alert could not be sent: connection ops: its type is ssh" in caplog.text
        configure(monkeypatch, port, "http")
        told = [nights.pipeline.alert_red(telling, "nightly_events due", "no", "see", nights.NOW) for _ in range(2)]
    assert told == [True, False]
    assert [document["subject"] for _, document in posted] == ["[Certificate analytics] 1 new: nightly_events due: no"]
