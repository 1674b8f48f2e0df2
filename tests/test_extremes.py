"""Values at their extremes: every key of the configuration and every option of the command line, and no traceback."""

import os
from datetime import date
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from etl import normalise, settings
from etl.__main__ import app
from etl.errors import ConfigurationError
from etl.landing import Landing
from tests import platform_by_hand as platform

NUMBERS = ["0", "1", "-1", "9223372036854775808", "1e308", "1e400", "nan", "inf", "-inf", "1" + "0" * 400]
DAYS = ["0001-01-01", "1969-12-31", "1970-01-01", "2026-03-02", "2999-12-31", "9999-12-31", "2026-02-30", "10000-01-01"]
TEXTS = ["", " ", "\t", "x" * 5000, "\x00", "\x1b[2J", "\udcff", "'; --", "%s{}", "é" * 300, "../..", "💥", "-"]
SIZES = ["0GB", "-1", "80%", "2", "2GB", "2 gib", "1e3GB", "999999999999999TB", "64MB", "nanGB"]
URLS = ["http://[", "a://b:port", "duckdb://", "sqlite://", "file:", "file:///" + "x" * 300, "x" * 9000, "nosuch://x"]
VALUES = [*NUMBERS, *DAYS, *TEXTS, *SIZES, *URLS]


def leaves(model, prefix=""):
    """Yield the name of every key of a table, as a variable of the environment has it."""
    for name, field in model.model_fields.items():
        tables = [kind for kind in (field.annotation, *get_args(field.annotation)) if hasattr(kind, "model_fields")]
        inner = f"{prefix}__{name}" if prefix else name
        if name == "sources":
            yield from leaves(settings.Source, "sources__mail")
        elif tables:
            yield from leaves(tables[0], inner)
        else:
            yield inner


KEYS = sorted(leaves(settings.Settings))


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Return the configuration of a small platform, which is in use for the test, and keep the umask."""
    for name in [name for name in os.environ if name.startswith("ANALYTICS_")]:
        monkeypatch.delenv(name)
    path = platform.write(tmp_path)
    monkeypatch.setenv("ANALYTICS_CONFIG", str(path))
    monkeypatch.setenv("HASH_KEY", platform.KEY)
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0o022)
    yield path
    os.umask(umask)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_at_its_extremes_is_read_or_refused(configured, tmp_path, monkeypatch, key):
    """What is read can be used: DuckDB opens with it, and every day of a year around it can be counted."""
    for value in VALUES:
        if "\x00" in value:  # no variable can hold it
            continue
        monkeypatch.setenv(f"ANALYTICS_{key.upper()}", value)
        try:
            loaded = settings.load()
            Landing(loaded.landing.url)
        except ConfigurationError:
            continue
        if key.startswith("normalise"):
            with normalise.session.connected(loaded.normalise, tmp_path) as connection:
                assert connection.sql("SELECT 1").fetchall() == [(1,)]


PLACES = [
    key for key in KEYS if not key.startswith("mail") and key.endswith(("url", "files", "api", "secret", "issuers"))
]


@pytest.mark.parametrize("key", PLACES)
def test_check_says_what_is_wrong_with_a_place(configured, monkeypatch, key):
    """Any text may stand where a place belongs. `check` ends with a finding, and not with a traceback."""
    for value in [*URLS, *TEXTS, "postgresql+psycopg://h:port/d", "duckdb:///x?threads=many", "ftp://h:port/x"]:
        if "\x00" not in value:
            monkeypatch.setenv(f"ANALYTICS_{key.upper()}", value)
            ran = CliRunner().invoke(app, ["check"])
            assert (ran.exit_code in (0, 1, 2), type(ran.exception)) in ((True, type(None)), (True, SystemExit)), value


COMMANDS = typer.main.get_command(app).commands
NEEDED = {
    "nightly": {"--day": "2026-03-02"}, "statistics": {"--as-of": "2026-03-02"},
    "recipients": {"--as-of": "2026-03-02", "--certificate": "c1"}, "reports": {"--output": "out"},
    "normalise": {"--format": "sendgrid", "paths": "nothing.json"}, "unsubscribe": {"token": "x"},
    "waive": {"--source": "mail", "--day": "2026-03-02", "--reason": "outage"},
}  # fmt: skip
OPTIONS = [
    (verb, parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.name)
    for verb, command in COMMANDS.items()
    for parameter in command.params
    if parameter.name not in ("help", "output", "rejects") and not getattr(parameter, "is_flag", False)
]


def arguments(options):
    """Return options as the command line has them. Those without dashes are arguments, and follow a double dash."""
    named = [part for name, value in options.items() if name.startswith("-") for part in (name, value)]
    return [*named, "--", *(value for name, value in options.items() if not name.startswith("-"))]


@pytest.mark.parametrize(("verb", "option"), OPTIONS, ids=[" ".join(pair) for pair in OPTIONS])
def test_an_option_at_its_extremes_is_used_or_refused(configured, verb, option):
    """The exit code is 0, 1 or 2, and what is wrong is said in a sentence."""
    for value in [*DAYS, *TEXTS, *NUMBERS]:
        ran = CliRunner().invoke(app, [verb, *arguments(NEEDED.get(verb, {}) | {option: value})])
        assert (ran.exit_code in (0, 1, 2), type(ran.exception)) in ((True, type(None)), (True, SystemExit)), value
        assert ran.exit_code == 0 or "rror" in ran.output, value


def test_a_span_without_an_end_is_refused(configured):
    """A night over all days of the calendar would never end."""
    ran = CliRunner().invoke(app, ["nightly", "--day", "1970-01-01", "--to", "2999-12-31"])
    assert (ran.exit_code, "bring fewer days at a time" in ran.output) == (2, True)


@pytest.mark.parametrize("reason", ["", " ", "\n", "\x1b[2J", "x" * 501])
def test_a_waiver_has_a_reason_that_can_be_printed(configured, reason):
    """Reports print it, and a blank one would say nothing."""
    ran = CliRunner().invoke(app, ["waive", "--source", "mail", "--day", "2026-03-02", "--reason", reason])
    assert (ran.exit_code, "error: " in ran.output) == (2, True)


def test_a_pixel_path_without_its_slash_is_refused(configured):
    """Every request would be ignored, in silence."""
    ran = CliRunner().invoke(app, ["normalise", "--format", "nginx_json", "--pixel-path", "px.gif", "a.log"])
    assert (ran.exit_code, "with its slash" in ran.output) == (2, True)


def test_the_first_and_the_last_day_can_be_named(configured):
    """All that can be named can be used, in the zones at the ends of the world, too."""
    for day, zone in (("1970-01-01", "Pacific/Kiritimati"), ("2999-12-31", "Etc/GMT+12")):
        ran = CliRunner().invoke(app, ["statistics", "--as-of", day, "--timezone", zone, "--format", "json"])
        assert (ran.exit_code, ran.output) == (0, "[]\n"), date.fromisoformat(day)
