"""The keys of a configuration, the variables that override them, and the errors of a wrong one."""

import os
import subprocess
import sys
import traceback
from datetime import date
from pathlib import Path

import pytest
import yaml

from etl import settings, state, warehouse
from etl.errors import AnalyticsError, ConfigurationError

NEEDED = "[warehouse]\nurl = 'duckdb:////srv/warehouse.duckdb'\n[registry]\nurl = 'file:///srv/registry'\n"
CASES = yaml.safe_load(Path("tests/cases/settings/wrong.yaml").read_text())
EVERY_KEY = Path("tests/cases/settings/every_key.toml").read_text()
SECRET = "hunter2 & <co>"


@pytest.fixture
def configure(tmp_path, monkeypatch):
    """Return a function that writes a configuration and sets variables. No other variable of ours is set."""
    for name in [name for name in os.environ if name.startswith("ANALYTICS_")]:
        monkeypatch.delenv(name)

    def written(toml, **variables):
        path = tmp_path / "analytics.toml"
        path.write_text(toml)
        for name, value in {"ANALYTICS_CONFIG": str(path), **variables}.items():
            monkeypatch.setenv(name, value)
        return path

    return written


def wrong(case, configure):
    """Write the configuration of a case."""
    return configure(case.get("whole", NEEDED + case.get("toml", "")), **case.get("environment", {}))


def test_every_key_of_the_interface_is_read(configure):
    """The example in the manual can be copied as a working configuration."""
    configure(EVERY_KEY)
    loaded = settings.load()
    assert loaded.sources["sendgrid"].since == date(2026, 1, 1)
    assert (loaded.credential.hosts, loaded.mail.enabled) == (["credentials.example.com"], False)
    assert loaded.registry.queries["issuers"].startswith("SELECT id")


def test_two_urls_are_a_configuration(configure):
    """Every key that can have a default has the one that the interface documents."""
    configure(NEEDED + "[sources.mail]\nformat = 'sendgrid'\nfiles = '{day}'")
    loaded = settings.load()
    source = loaded.sources["mail"]
    assert (source.recipient_key, source.certificate_key, source.pixel_path) == (
        "recipient_id",
        "certificate_id",
        "/px.gif",
    )
    assert (source.may_be_empty, source.late_days, loaded.mail.enabled, loaded.mail.send_hour) == (False, 2, False, 7)
    assert not loaded.credential.count_share_links


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_a_wrong_configuration_names_the_key_and_the_cure(case, configure):
    """The error says where the mistake is and what to write instead. No secret is repeated."""
    wrong(case, configure)
    with pytest.raises(ConfigurationError) as error:
        settings.load()
    assert [words for words in case["says"] if words not in str(error.value)] == []
    assert "hunter2" not in str(error.value)


SENDERS = [
    "reports@example.com",
    "<reports@example.com>",
    "Example Academy Inc. <reports@example.com>",
    '"Example Academy, Inc." <reports@example.com>',
    '"Ex \\"Reports\\": (all)" <reports@example.com>',
    "Zertifikate Übersicht <reports@münchen.example>",
    '"john doe"@example.com',
    "reports@[127.0.0.1]",
    "reports@localhost",
    "büro@example.com",
]


@pytest.mark.parametrize("sender", SENDERS)
def test_one_mailbox_is_a_sender(configure, sender):
    """A sender may have any name, in quotes where it has signs, and an international domain."""
    configure(NEEDED, ANALYTICS_MAIL__SENDER=sender, ANALYTICS_MAIL__REPLY_TO=sender)
    assert (settings.load().mail.sender, settings.load().mail.reply_to) == (sender, sender)


SERVERS = [
    "smtp://localhost",
    "smtps://me@example.com@mail.example.com:465",
    "smtp+starttls://[::1]:587",
    "smtp://mail.bücher.example",
]


@pytest.mark.parametrize("url", SERVERS)
def test_a_mail_server_may_have_any_host(configure, url):
    """The user may be an address, and the host an international one or a number."""
    configure(NEEDED, ANALYTICS_MAIL__URL=url)
    assert settings.load().mail.url == url


def test_a_wrong_configuration_ends_the_command_line_with_two(configure):
    """A scheduler can distinguish a wrong configuration from a failed night. There is one line and no traceback."""
    path = configure("[warehouse]\nurl = 3")
    run = subprocess.run(
        [sys.executable, "-m", "etl", "check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANALYTICS_CONFIG": str(path)},
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "error: warehouse.url: it should be a valid string; registry is missing; add it\n"


def test_a_configuration_that_is_not_there_says_where_it_was_sought(configure, monkeypatch, tmp_path):
    """The default is analytics.toml in the working directory."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigurationError, match=r"no configuration at analytics.toml; write one, or set ANALYTICS_CONFIG"
    ):
        settings.load()


OVERRIDES = [
    ("ANALYTICS_WAREHOUSE__URL", "duckdb:///other", lambda loaded: loaded.warehouse.url, "duckdb:///other"),
    ("ANALYTICS_MAIL__SEND_HOUR", "9", lambda loaded: loaded.mail.send_hour, 9),
    ("ANALYTICS_MAIL__REPLY_TO", "a@b.example", lambda loaded: loaded.mail.reply_to, "a@b.example"),
    ("ANALYTICS_CREDENTIAL__HOSTS", '["a.example"]', lambda loaded: loaded.credential.hosts, ["a.example"]),
    ("ANALYTICS_CREDENTIAL__COUNT_SHARE_LINKS", "true", lambda loaded: loaded.credential.count_share_links, True),
    ("ANALYTICS_VALIDATION__UNKNOWN_RATE_MAXIMUM", "0.5", lambda loaded: loaded.validation.unknown_rate_maximum, 0.5),
    ("ANALYTICS_SOURCES__SENDGRID__FILES", "/x/{day}", lambda loaded: loaded.sources["sendgrid"].files, "/x/{day}"),
    ("ANALYTICS_SOURCES__SENDGRID__UNTIL", "2026-01-01", lambda loaded: loaded.sources["sendgrid"].until, date(2026, 1, 1)),
    ("ANALYTICS_SOURCES__SENDGRID__MAY_BE_EMPTY", "true", lambda loaded: loaded.sources["sendgrid"].may_be_empty, True),
    ("ANALYTICS_SOURCES__MAILGUN_EU__DOMAIN", "x.example", lambda loaded: loaded.sources["mailgun_eu"].domain, "x.example"),
    ("ANALYTICS_REGISTRY__QUERIES__ISSUERS", "SELECT 1", lambda loaded: loaded.registry.queries["issuers"], "SELECT 1"),
    ("analytics_landing__url", "memory://x", lambda loaded: loaded.landing.url, "memory://x"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "value", "wanted"), OVERRIDES, ids=[override[0] for override in OVERRIDES])
def test_a_variable_overrides_its_key_and_nothing_else(configure, name, text, value, wanted):
    """A value may differ from host to host while the file is the same."""
    configure(EVERY_KEY, **{name: text})
    loaded = settings.load()
    assert value(loaded) == wanted
    assert loaded.sources["sendgrid"].since == date(2026, 1, 1)
    assert len(loaded.registry.queries) == 4


def test_a_source_can_be_set_in_the_environment_alone(configure):
    """A container needs no file but one with two URLs."""
    configure(NEEDED, ANALYTICS_SOURCES__MAIL__FORMAT="sendgrid", ANALYTICS_SOURCES__MAIL__FILES="/x/{day}")
    assert settings.load().sources["mail"].files == "/x/{day}"


def test_mail_may_be_switched_on_once_every_source_has_its_first_day(configure):
    """Without a first day it is unknown whether a slice is missing."""
    configure(NEEDED + "[sources.a]\nformat = 'sendgrid'\nfiles = '{day}'\nsince = 2026-01-01\n[mail]\nenabled = true")
    assert settings.load().mail.enabled


def test_the_state_is_beside_the_configuration(configure, tmp_path):
    """The file to back up has a fixed place by default, wherever the command runs."""
    configure(NEEDED)
    assert settings.load().state_url == f"sqlite:///{tmp_path}/state.db"


def test_a_secret_becomes_the_password_of_its_url():
    """A secret may hold characters that have a meaning in a URL."""
    url = settings.with_password("postgresql+psycopg://me@db:5432/w?sslmode=require", "DB", {"DB": SECRET}.get)
    assert url == "postgresql+psycopg://me:hunter2%20%26%20%3Cco%3E@db:5432/w?sslmode=require"
    assert settings.with_password("duckdb:///x", None, {}.get) == "duckdb:///x"


def test_a_secret_that_is_not_set_is_named():
    """The error names the secret, and both places where it may be put."""
    with pytest.raises(
        ConfigurationError, match=r"the secret DB is not set; export DB=... or add an Airflow connection"
    ):
        settings.with_password("postgresql://me@db/w", "DB", {}.get)


def test_an_empty_secret_is_none(monkeypatch):
    """A variable that a deployment left empty is a missing secret, not an empty password."""
    monkeypatch.setenv("DB", "")
    assert settings.from_environment("DB") is None


UNREACHABLE = "postgresql+psycopg://me@127.0.0.1:9/w?connect_timeout=2"


def test_the_error_of_an_unreachable_database_has_no_secret(caplog):
    """Logs and tickets can be shared."""
    table, lookup = settings.Warehouse(url=UNREACHABLE, secret="DB"), {"DB": SECRET}.get
    with pytest.raises(AnalyticsError) as held, warehouse.open(table, lookup, key_fingerprint=""):
        pass
    with pytest.raises(AnalyticsError) as state_held:
        state.open(UNREACHABLE, "DB", lookup)
    messages = "".join(traceback.format_exception(held.value) + traceback.format_exception(state_held.value))
    assert "hunter2" not in messages + caplog.text
    assert "127.0.0.1" in messages


def test_the_configuration_never_holds_a_secret(configure):
    """Printed settings show the names of secrets, not their values."""
    configure(EVERY_KEY, WAREHOUSE=SECRET, ANALYTICS_HASH_KEY=SECRET)
    assert "hunter2" not in repr(settings.load())
