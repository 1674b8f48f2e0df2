"""The policies of the pipeline: the slices of a night, the effect of a failure, and the reports that may be mailed."""

import dataclasses
import gzip
import json
import pickle
import re
import shutil
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta

import pytest

from etl import errors, periods, pipeline, settings, state
from etl.errors import AnalyticsError, ConfigurationError, LandingError, NoFiles, SliceError
from etl.extract import files
from etl.landing import LandedFile, Manifest, slice_prefix
from etl.pipeline import failures, nights, reports
from etl.render import landed
from tests import platform_by_hand as platform
from tests.command import run
from tests.provider_server import KEY, serve

TODAY = datetime.now(UTC).date()
YESTERDAY, BEFORE, LONG_BEFORE, EVER_BEFORE = (TODAY - timedelta(days=days) for days in range(1, 5))


def context(landing, **sources):
    """Return the context of a configuration that has these sources."""
    warehouse = settings.Warehouse(url=f"duckdb:///{landing.root}/warehouse.duckdb")
    ledger = state.open(f"sqlite:///{landing.root}.db", None, {}.get)
    configured = settings.Settings.model_construct(sources=sources, warehouse=warehouse)
    return pipeline.Context(configured, {}.get, landing, ledger, "")


def api(name="brevo", **differing):
    """Return a source that is pulled from an API."""
    return settings.Source(format=name, api="https://api.example.com", secret="KEY", **differing)


def from_files(folder, **differing):
    """Return a source that reads files."""
    return settings.Source(format="sendgrid", files=f"{folder}/{{day}}/*", **differing)


def load(landing, name, *days, raw=()):
    """Record that these slices are in the warehouse."""
    for day in days:
        landing.mark_loaded(Manifest(prefix=slice_prefix(name, day), raw=tuple(raw), status="valid"))


def load_files(landing, source, day):
    """Extract a day's files, and record that they are in the warehouse."""
    landing.mark_loaded(files.extract(landing, "logs", source, day, replace=False))


def write(folder, day, name="a.json", content="{}"):
    """Write a raw file."""
    path = folder / str(day) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def brought(opened, first=YESTERDAY, last=YESTERDAY, names=None, *, from_landing=False):
    """Return the slices that a night brings, in order."""
    return pipeline.slices_to_bring(opened, names, first, last, from_landing=from_landing)


def test_a_slice_that_never_came_is_not_late(landing):
    """The first night brings its day and no other."""
    assert brought(context(landing, mail=api())) == [("mail", YESTERDAY)]


def test_the_last_days_of_an_api_are_pulled_again(landing):
    """Providers learn of opens late, so the days before come first, as many as late_days says."""
    load(landing, "mail", BEFORE, LONG_BEFORE, EVER_BEFORE)
    wanted = [("mail", LONG_BEFORE), ("mail", BEFORE), ("mail", YESTERDAY)]
    assert brought(context(landing, mail=api())) == wanted
    assert brought(context(landing, mail=api(late_days=1))) == wanted[1:]
    assert brought(context(landing, mail=api(late_days=0))) == wanted[2:]


def test_days_before_the_first_of_several_are_late(landing):
    """A day that is requested is not brought a second time as a late one."""
    load(landing, "mail", *pipeline.days(EVER_BEFORE, YESTERDAY))
    wanted = [("mail", LONG_BEFORE), ("mail", BEFORE), ("mail", YESTERDAY)]
    assert brought(context(landing, mail=api(late_days=1)), first=BEFORE) == wanted


def test_a_day_past_the_retention_is_left_as_it_was_loaded(landing):
    """Mailgun promises three days. The fourth day back is left as it is, without an error every night."""
    load(landing, "mail", BEFORE, LONG_BEFORE)
    assert brought(context(landing, mail=api("mailgun"))) == [("mail", BEFORE), ("mail", YESTERDAY)]


def test_files_that_stayed_the_same_are_not_read_again(landing, tmp_path):
    """A night costs only what is new."""
    write(tmp_path, BEFORE)
    load_files(landing, logs := from_files(tmp_path), BEFORE)
    assert brought(context(landing, logs=logs)) == [("logs", YESTERDAY)]


@pytest.mark.parametrize(("name", "content"), [("a.json", '{"grown": 1}'), ("b.json", "{}")])
def test_files_that_grew_or_came_later_are_read_again(landing, tmp_path, name, content):
    """CloudFront delivers up to a day late, and collectors append to files."""
    write(tmp_path, BEFORE)
    load_files(landing, logs := from_files(tmp_path), BEFORE)
    write(tmp_path, BEFORE, name, content)
    assert brought(context(landing, logs=logs)) == [("logs", BEFORE), ("logs", YESTERDAY)]


def test_files_that_came_after_their_night_failed_are_read(landing, tmp_path):
    """A collector's late files are read the next night. A failed slice whose files stayed the same is not retried."""
    opened = context(landing, logs=from_files(tmp_path))
    failures.record(opened, "logs", BEFORE, "no file matches *")
    assert brought(opened) == [("logs", YESTERDAY)]
    write(tmp_path, BEFORE)
    assert brought(opened) == [("logs", BEFORE), ("logs", YESTERDAY)]
    files.extract(landing, "logs", opened.source("logs"), BEFORE, replace=False)
    assert brought(opened) == [("logs", YESTERDAY)]


@pytest.mark.parametrize("files_pattern", ["nowhere/{day}/*", "nosuch://{day}"])
def test_files_that_are_gone_leave_the_slice_alone(landing, files_pattern):
    """A bucket that deletes files after a day does not turn every night red."""
    load(landing, "logs", BEFORE, raw=[LandedFile(path="v/raw", size=1, sha256="", origin="a")])
    logs = settings.Source(format="sendgrid", files=files_pattern)
    assert brought(context(landing, logs=logs)) == [("logs", YESTERDAY)]


def test_from_the_landing_nothing_is_late(landing):
    """Without a network nothing new can come."""
    load(landing, "mail", BEFORE)
    assert brought(context(landing, mail=api()), from_landing=True) == [("mail", YESTERDAY)]


def test_late_slices_are_of_the_named_sources(landing):
    """A night for one source brings that source only."""
    load(landing, "mail", BEFORE)
    load(landing, "other", BEFORE)
    opened = context(landing, mail=api(), other=api())
    assert brought(opened, names=["other"]) == [("other", BEFORE), ("other", YESTERDAY)]


def test_days_that_a_source_does_not_cover_are_not_brought(landing):
    """A source that is named is brought nevertheless, for an operator who knows better."""
    load(landing, "mail", BEFORE)
    opened = context(landing, mail=api(since=YESTERDAY), ended=api(until=BEFORE))
    assert brought(opened) == [("mail", YESTERDAY)]
    assert brought(opened, names=["ended"]) == [("ended", YESTERDAY)]


NOON = int(datetime.combine(BEFORE, time(12), UTC).timestamp())
DAMAGE = {"normalise": b"not compressed", "validate": gzip.compress(b'{"event": "teleported", "timestamp": %d}' % NOON)}


@pytest.mark.parametrize("step", DAMAGE)
def test_a_version_that_cannot_be_used_is_recorded(landing, tmp_path, step):
    """The landed version is refused and the warehouse has the reason, whichever entry point ran the step."""
    opened = context(landing, logs=from_files(tmp_path))
    path = tmp_path / str(BEFORE) / "a.json.gz"
    path.parent.mkdir()
    path.write_bytes(DAMAGE[step])
    with pytest.raises(SliceError) as failure:
        for run_step in (extracted, pipeline.normalise_slice, pipeline.validate_slice):
            run_step(opened, "logs", BEFORE)
    newest = landing.newest(slice_prefix("logs", BEFORE))
    assert (newest.status, newest.reason) == ("refused", failure.value.reason)
    assert pipeline.not_loaded(opened, [(("logs", BEFORE), False)]) == {f"logs {BEFORE}": failure.value.reason}


def extracted(opened, name, day):
    """Run the first step of a slice."""
    return pipeline.extract_slice(opened, name, day, from_landing=False, replace=False)


def test_files_that_cannot_be_read_refuse_nothing_that_was_landed(landing, tmp_path):
    """The source is at fault, so the version landed before is not refused."""
    write(tmp_path, BEFORE)
    opened = context(landing, logs=from_files(tmp_path))
    extracted(opened, "logs", BEFORE)
    shutil.rmtree(tmp_path / str(BEFORE))
    with pytest.raises(NoFiles):
        extracted(opened, "logs", BEFORE)
    assert landing.newest(slice_prefix("logs", BEFORE)).status == "extracted"


FINAL = [
    ConfigurationError("unknown key"), errors.RefusedRegistry("it has no column email"),
    errors.DamagedFile("newest.json", "cut short"), errors.DamagedSlice("logs", BEFORE, "newest.json is damaged"),
    errors.NoFiles("logs", BEFORE, "*"), errors.NotLanded("logs", BEFORE), errors.ShrunkenSlice("logs", BEFORE, 1, 3, "events"),
    errors.RefusedSlice("logs", BEFORE, ["rejects"], "SELECT 1"), errors.ExpiredSlice("logs", BEFORE, 3),
    errors.MissingKey("logs", BEFORE, "the secret KEY is missing"), errors.RefusedKey("logs", BEFORE, "KEY", 401),
    errors.EndlessPaging("logs", BEFORE, "events", 20_000),
    *(errors.UnreachableSource("logs", BEFORE, "events", "refused", status) for status in (400, 404, 410, 422)),
]  # fmt: skip
PASSING = [
    LandingError("s3://bucket", "timed out"), errors.RegistryError("timed out"), errors.WarehouseError("it is held"),
    errors.UnreadableFile("logs", BEFORE, "*", "timed out"), SliceError("logs", BEFORE, "the disk is full"),
    *(errors.UnreachableSource("logs", BEFORE, "events", "x", status) for status in (None, 408, 425, 429, 500, 503)),
]  # fmt: skip


@pytest.mark.parametrize("error", FINAL, ids=repr)
def test_a_failure_that_a_retry_cannot_change_is_final(error):
    """A mistake in the configuration does not hold a run open for twenty minutes."""
    assert pipeline.is_final(error)
    assert pipeline.is_final(pickle.loads(pickle.dumps(error)))


@pytest.mark.parametrize("error", [*PASSING, OSError("timed out")], ids=repr)
def test_a_failure_that_may_pass_is_not_final(error):
    """A network or a disk may be well again in a minute."""
    assert not pipeline.is_final(error)


DOOMED = {
    "its key is missing": ({"format": "brevo", "api": "http://127.0.0.1:9", "secret": "BREVO"}, False),
    "nothing of it was landed": ({"format": "sendgrid", "files": "*"}, True),
    "its manifest is damaged": ({"format": "sendgrid", "files": "*"}, True),
}


@pytest.mark.parametrize("reason", DOOMED)
def test_a_step_that_cannot_succeed_fails_for_good(landing, reason):
    """What a retry meets again, as a missing key, is final when it leaves the step."""
    given, from_landing = DOOMED[reason]
    if "damaged" in reason:
        landing.write(landing.path(slice_prefix("logs", BEFORE), "newest.json"), b"{")
    opened = context(landing, logs=settings.Source(**given))
    with pytest.raises(SliceError) as caught:
        pipeline.extract_slice(opened, "logs", BEFORE, from_landing=from_landing, replace=False)
    assert pipeline.is_final(caught.value)


def test_a_loaded_slice_stays_loaded_where_its_oddities_fail(landing, tmp_path, monkeypatch):
    """The slice is committed by then. What fails after that is a warning."""

    def fail(*_):
        raise RuntimeError("of a@b.example")

    moment = int(datetime.combine(BEFORE, time(12), UTC).timestamp())
    event = {"event": "delivered", "email": "a@b.example", "timestamp": moment, "sg_event_id": "e1"}
    write(tmp_path, BEFORE, content=json.dumps(event))
    opened = context(landing, logs=from_files(tmp_path))
    for step in (extracted, pipeline.normalise_slice, pipeline.validate_slice):
        step(opened, "logs", BEFORE)
    monkeypatch.setattr(nights.statistics, "oddities", fail)
    result = pipeline.load_slice(opened, "logs", BEFORE, replace=False, now=datetime.now(UTC))
    assert result.warnings == ("whether it is unusual could not be told: of <address>",)
    assert pipeline.not_loaded(opened, [(("logs", BEFORE), False)]) == {f"logs {BEFORE}": "see its red task"}


def test_each_step_says_in_one_line_what_it_did(landing, tmp_path, caplog):
    """The log of a green task has the counts and the seconds."""
    write(tmp_path, BEFORE)
    with caplog.at_level("INFO", "etl.pipeline"):
        result = extracted(context(landing, logs=from_files(tmp_path)), "logs", BEFORE)
    assert (result.files, result.bytes) == (1, 2)
    (line,) = caplog.messages
    assert re.fullmatch(rf"extract logs {BEFORE}: 1 files, 2 bytes in \d\.\d s", line)


REPORT = {"subscription_id": "s1", "frequency": "monthly", "timezone": "UTC"}
UNMAILABLE = {
    "mail is off": ({"enabled": False}, {}, "mail is switched off"),
    "the reader has unsubscribed": ({}, {"unsubscribed": True}, "its reader has unsubscribed"),
    "a day is missing": ({}, {"is_whole": False}, "its data are not whole"),
    "a week of a monthly subscription": ({}, {"period": "2026-W44"}, "the subscription is monthly"),
}


@pytest.mark.parametrize("reason", UNMAILABLE)
def test_a_report_that_may_not_be_mailed_says_why(landing, reason, monkeypatch):
    """Such a report may be rendered, but no mail server is contacted."""
    mail, given, words = UNMAILABLE[reason]
    monkeypatch.setattr(reports.deliver, "send", lambda *_, **__: pytest.fail("it was sent"))
    opened = context(landing)
    if given.get("unsubscribed"):
        opened.state.unsubscribe("s1", datetime.now(UTC))
    opened = dataclasses.replace(
        opened, settings=opened.settings.model_copy(update={"mail": settings.Mail(**{"enabled": True} | mail)})
    )
    report = pipeline.Report(REPORT, periods.parse(given.get("period", "2026-10"), "UTC"))
    with pytest.raises(AnalyticsError, match=words):
        reports._send(
            opened, report, {"quality": {"is_whole": given.get("is_whole", True)}}, landing.root, resend=False
        )


def test_a_report_without_its_logo_says_so_even_where_it_cannot_be_sent(landing, tmp_path, monkeypatch):
    """The line that says so comes before the outcome, and through the log where nobody asks for it."""
    outcome = landed.RenderedReport({}, ("the report is without the issuer's logo",))
    monkeypatch.setattr(landed, "render_landed", lambda wanted, processes: (outcome for _ in wanted))
    report, said = pipeline.Report(REPORT, periods.parse("2026-10", "UTC")), []
    pipeline.make_reports(context(landing), [report], pipeline.ReportRequest(), tmp_path, said.append, said.append)
    assert said == ["s1 2026-10: the report is without the issuer's logo", f"s1 2026-10: {tmp_path}/s1/2026-10"]


@contextmanager
def brevo(folder):
    """Yield the server of a provider, and the configuration of a platform whose mails are pulled from it."""
    with serve("brevo") as server:
        configuration = platform.write(folder)
        text = configuration.read_text()
        start, end = text.index("[sources.mail]"), text.index("[sources.view]")
        pulled = f'[sources.mail]\nformat = "brevo"\napi = "{server.url}"\nsecret = "BREVO"\n'
        configuration.write_text(text[:start] + pulled + text[end:])
        yield server, configuration


def opened_at(day, hour):
    """Return a row of Brevo's report."""
    moment = datetime.combine(day, time(hour), UTC).isoformat()
    return {"event": "opened", "email": "person1@example.com", "date": moment, "messageId": "<m1@b.example>"}


def nightly(configuration, day, *options):
    """Run a night by the command line."""
    secrets = {"HASH_KEY": platform.KEY, "BREVO": KEY}
    return run(configuration, "nightly", "--day", str(day), "--source", "mail", *options, **secrets)


def test_a_late_event_of_an_api_is_in_the_warehouse_the_next_night(tmp_path):
    """The event goes from the provider's answer to the warehouse, and once more from the landing alone."""
    with brevo(tmp_path) as (server, configuration):
        server.rows["events"] = [opened_at(BEFORE, 9)]
        assert nightly(configuration, BEFORE).code == 0
        server.rows["events"] += [opened_at(BEFORE, 10), opened_at(YESTERDAY, 9)]
        assert nightly(configuration, YESTERDAY).code == 0
    assert nightly(configuration, BEFORE, "--from-landing").code == 0
    ran = run(configuration, "slices", "--from", str(BEFORE), "--format", "json", HASH_KEY=platform.KEY)
    held = {row["load_date"]: row["event_count"] for row in json.loads(ran.out) if row["source"] == "mail"}
    assert held == {str(BEFORE): 2, str(YESTERDAY): 1} | {day: 0 for day in held if day > str(YESTERDAY)}


def test_a_provider_that_refuses_is_one_line_and_check_says_so(tmp_path):
    """Both the night and `check` name the secret to correct, and never its value."""
    with brevo(tmp_path) as (_, configuration):
        secrets = {"HASH_KEY": platform.KEY, "BREVO": "wrong-9b1d"}
        ran = run(configuration, "nightly", "--day", str(YESTERDAY), "--source", "mail", **secrets)
        checked = run(configuration, "check", **secrets)
    assert (ran.code, checked.code) == (1, 1)
    for output in (ran.err, checked.out):
        assert "the provider refused the key (401); see that the secret BREVO is right" in output
    assert "wrong-9b1d" not in ran.err + ran.out + checked.err + checked.out


NIGHT_OF_23 = datetime(2026, 11, 23, 2, tzinfo=UTC)
MORNING = datetime(2026, 11, 24, 10, 15, tzinfo=UTC)
RUNS = {
    "a scheduled run loads the day of its logical date": (None, NIGHT_OF_23, NIGHT_OF_23 + timedelta(days=1), 23),
    "a run by hand with the date of a night loads that day": (None, NIGHT_OF_23, MORNING, 23),
    "any time of that day will do": (None, datetime(2026, 11, 22, 23, 59, tzinfo=UTC), MORNING, 22),
    "its day is a day of UTC": (None, datetime.fromisoformat("2026-11-23T00:30:00+02:00"), MORNING, 22),
    "the present, as Airflow's form fills in, is the last day that is over": (None, MORNING, MORNING, 23),
    "without a date it is that, too": (None, None, MORNING, 23),
    "between midnight and two o'clock, too": (None, None, datetime(2026, 11, 24, 0, 1, tzinfo=UTC), 23),
    "at midnight, too": (None, None, datetime(2026, 11, 24, tzinfo=UTC), 23),
    "a day in the form goes first": (date(2026, 11, 5), MORNING, MORNING, 5),
    "a day in the form needs no logical date": (date(2026, 11, 5), None, MORNING, 5),
    "a day in the form that is the night's own": (date(2026, 11, 23), NIGHT_OF_23, MORNING, 23),
}


@pytest.mark.parametrize("case", RUNS)
def test_a_run_loads_the_day_that_its_text_says(case):
    """The day in the form, else the logical date's, else the last day that is over in UTC."""
    wanted, dated, run_after, day = RUNS[case]
    assert pipeline.day_of_run(wanted, dated, run_after) == date(2026, 11, day)


@pytest.mark.parametrize(
    ("wanted", "dated", "words"),
    [
        (date(2026, 11, 5), NIGHT_OF_23, "has the date of the night of 2026-11-23 but would load 2026-11-05"),
        (None, NIGHT_OF_23 + timedelta(days=1), "of the night of 2026-11-24 but would load 2026-11-23"),
        (None, MORNING + timedelta(days=1), "2026-11-25 is not over"),
    ],
)
def test_a_run_that_would_hold_the_date_of_another_day_is_refused(wanted, dated, words):
    """A backfill skips the date of such a run, so that its day would never be loaded."""
    with pytest.raises(ConfigurationError, match=words):
        pipeline.day_of_run(wanted, dated, MORNING)


@pytest.mark.parametrize(
    ("tried", "waived", "missing"),
    [
        ([EVER_BEFORE, BEFORE], [], []),
        ([EVER_BEFORE], [], [LONG_BEFORE, BEFORE]),
        ([EVER_BEFORE], [BEFORE], [LONG_BEFORE]),
        ([EVER_BEFORE], [LONG_BEFORE, BEFORE], []),
        ([], [], []),
    ],
)
def test_days_that_a_backfill_skipped_are_named_by_the_next_run(landing, tried, waived, missing):
    """They lie between the last day that was tried and the day of the run. Where none was tried, a backfill is to come."""
    opened = context(landing, logs=settings.Source(format="sendgrid", files="*", since=EVER_BEFORE))
    for day in tried:
        failures.record(opened, "logs", day, "no file matches *")
    for day in waived:
        opened.state.waive("logs", day, "outage", datetime.now(UTC))
    assert pipeline.never_tried(opened, YESTERDAY) == [("logs", day) for day in missing]


@pytest.mark.parametrize(
    ("first", "last", "sources", "reason"),
    [
        (YESTERDAY, LONG_BEFORE, (), "lies before the first"),
        (YESTERDAY, TODAY + timedelta(days=1), (), "lies ahead"),
        (TODAY - timedelta(days=400), TODAY, ("open",), "these are 401 days; name at most 400"),
        (EVER_BEFORE, YESTERDAY, (), "the first day that is expected of new, old"),
        (LONG_BEFORE, YESTERDAY, ("new",), "the first day that is expected of new"),
        (LONG_BEFORE, YESTERDAY, ("old",), "the last day that is expected of old"),
        (YESTERDAY, YESTERDAY, ("newer",), "there is no source 'newer'; there are"),
    ],
)
def test_a_night_that_makes_no_sense_is_refused(landing, first, last, sources, reason):
    """A sentence says what is wrong with the days or the sources, before anything is loaded."""
    known = {"new": api(since=BEFORE), "old": api(since=LONG_BEFORE, until=BEFORE)}
    opened = context(landing, **known, **({"open": api()} if "open" in sources else {}))
    with pytest.raises(ConfigurationError, match=reason):
        pipeline.NightRequest(first, last, sources).check(opened, TODAY)


@pytest.mark.parametrize(
    ("first", "last", "sources"),
    [
        (LONG_BEFORE, TODAY, ()),
        (LONG_BEFORE, BEFORE, ("old",)),
        (TODAY - timedelta(days=399), TODAY, ("open",)),
        (YESTERDAY, YESTERDAY, ("new", "open")),
    ],
)
def test_a_night_of_days_that_a_source_covers_is_loaded(landing, first, last, sources):
    """A day that one of all sources covers can be asked for; of a named source every day must be its own."""
    known = {"new": api(since=BEFORE), "old": api(since=LONG_BEFORE, until=BEFORE)}
    opened = context(landing, **known, **({"open": api()} if "open" in sources else {}))
    pipeline.NightRequest(first, last, sources).check(opened, TODAY)


def test_a_form_may_name_one_day_and_no_source():
    """The last day is the first, unless the form names another; a source named twice counts once."""
    assert pipeline.night_request(BEFORE, None, None) == pipeline.NightRequest(BEFORE, BEFORE)
    request = pipeline.night_request(BEFORE, str(YESTERDAY), ["logs", "logs"])
    assert request == pipeline.NightRequest(BEFORE, YESTERDAY, ("logs",))
    with pytest.raises(ConfigurationError):
        pipeline.night_request(BEFORE, "2026-13-01", None)
