"""Every command, run on a hand-written platform: its output, its streams, its formats and its exit codes."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from demo import sink
from etl.__main__ import app
from tests import platform_by_hand as platform
from tests.command import run
from tests.postgres_server import free_port

ONE, TWO = (str(day) for day in platform.DAYS)
VERBS = sorted(verb.name or verb.callback.__name__ for verb in app.registered_commands)
STATISTICS_KEYS = ["certificate_id", "name", "kind", "issuer_id", "created_at", "as_of_date", "shares"]
RECIPIENT_KEYS = [
    "recipient_id", "email", "name", "status", "is_bounced", "bounce_class", "bounce_reason", "last_event_at"
]  # fmt: skip
SLICE_KEYS = [
    "source", "load_date", "status", "last_error", "raw_count", "event_count", "reject_count", "ignored_count",
    "duplicate_count", "unattributed_count", "loaded_at",
]  # fmt: skip


def command(configuration, *arguments, **variables):
    """Run a command on the platform, and check that stderr has no address and no traceback."""
    ran = run(configuration, *arguments, HASH_KEY=platform.KEY, **variables)
    assert re.findall(r"\S+@\S+", ran.err) == []
    assert "Traceback" not in ran.err
    return ran


def rows(configuration, *arguments):
    """Return the rows that a listing prints as JSON: one array and nothing else, and nothing on stderr."""
    ran = command(configuration, *arguments, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Return the platform with both days loaded, and the result of that command."""
    configuration = platform.write(tmp_path_factory.mktemp("platform"))
    return configuration, command(configuration, "nightly", "--day", ONE, "--to", TWO)


@pytest.fixture
def loaded(night):
    """Return the configuration of the platform with both days loaded. No test changes it."""
    return night[0]


@pytest.fixture
def own(night, tmp_path):
    """Return a copy of that platform, which a test may change."""
    shutil.copytree(night[0].parent, tmp_path / "platform")
    configuration = tmp_path / "platform" / "analytics.toml"
    configuration.write_text(configuration.read_text().replace(str(night[0].parent), str(tmp_path / "platform")))
    return configuration


def figures(row):
    """Return the counts of a certificate, in the order of the platform's table."""
    return [row[f"{name}_count"] for name in platform.COUNTS]


# nightly


def test_a_night_reports_each_slice(night):
    """A night prints one line for the registry and one for each slice on stderr, and nothing on stdout."""
    assert night[1].code == 0
    assert night[1].out == ""
    assert night[1].err.splitlines() == [
        "registry: 28 rows, 0 left out",
        f"mail {ONE}: 23 events, 1 duplicates, 1 rejects, 0 ignored",
        f"view {ONE}: 8 events, 0 duplicates, 1 rejects, 1 ignored",
        f"mail {TWO}: 6 events, 0 duplicates, 0 rejects, 0 ignored",
        f"view {TWO}: 5 events, 0 duplicates, 0 rejects, 0 ignored",
    ]


def test_an_odd_slice_is_loaded_with_warnings(own):
    """The slice is loaded, the exit code is 0, and one line names each oddity."""
    stranger = platform.mail(1, "delivered", platform.DAYS[1], "11:00:00", **platform.UNKNOWN)
    platform.write_mail(own.parent, platform.DAYS[1], "\n".join([json.dumps(stranger)] * 5).encode())
    ran = command(own, "nightly", "--day", TWO, "--source", "mail", "--replace")
    assert ran.code == 0
    assert ran.err.splitlines()[-3:] == [
        f"mail {TWO}: 1 events, 4 duplicates, 0 rejects, 0 ignored",
        f"warning: mail {TWO}: 4 of 5 records are duplicates",
        f"warning: mail {TWO}: 1 of 1 events belong to no recipient of the registry",
    ]


def test_a_failing_slice_is_one_line_and_stops_nothing(own):
    """The other source is loaded, the exit code says that something is missing, and the former version is kept."""
    next((own.parent / "mail").rglob(f"{TWO:.4}/03/03/*.gz")).unlink()
    (own.parent / f"access.log-{TWO}").write_text("\n".join(platform.PIXEL[platform.DAYS[1]][:4]))
    ran = command(own, "nightly", "--day", TWO)
    assert ran.code == 1
    assert [line for line in ran.err.splitlines() if line.startswith("error: ")] == [
        (
            f"error: mail {TWO}: no file matches {own.parent}/mail/2026/03/03/*.json.gz;"
            " bring the files, or set may_be_empty, or waive the slice"
        )
    ]
    assert f"view {TWO}: 4 events" in ran.err
    mail, view = rows(own, "slices", "--from", TWO)
    assert (mail["status"], mail["event_count"]) == ("loaded", 6)
    assert mail["last_error"].startswith("no file matches")
    assert (view["status"], view["event_count"], view["last_error"]) == ("loaded", 4, None)


def test_one_source_can_be_loaded_alone(own):
    """A source that delivered late is loaded without the others."""
    ran = command(own, "nightly", "--day", ONE, "--source", "view")
    assert [line.split(":")[0] for line in ran.err.splitlines()] == ["registry", f"view {ONE}"]


def test_a_registry_that_cannot_be_pulled_stops_no_slice(own):
    """The former registry is kept, the events are loaded, and the failure is reported."""
    (own.parent / "registry" / "recipients.csv").unlink()
    ran = command(own, "nightly", "--day", TWO)
    assert ran.code == 1
    assert ran.err.startswith("error: the registry at file://")
    assert f"view {TWO}: 5 events" in ran.err
    assert len(rows(own, "statistics", "--as-of", TWO)) == 3


def test_days_outside_since_and_until_are_not_expected(loaded):
    """Before since and after until no slice is expected, so none fails."""
    ran = command(loaded, "nightly", "--day", "2026-03-04")
    assert (ran.code, ran.err) == (0, "registry: 28 rows, 0 left out\n")


# Listings


@pytest.mark.parametrize("day", platform.DAYS, ids=str)
def test_the_figures_are_those_worked_out_by_hand(loaded, day):
    """Every count at the end of each day is right. There is one object per certificate, by certificate_id."""
    found = rows(loaded, "statistics", "--as-of", str(day))
    assert {row["certificate_id"]: figures(row) for row in found} == platform.FIGURES[day]
    assert [row["certificate_id"] for row in found] == sorted(platform.FIGURES[day])


def test_statistics_have_the_keys_of_the_interface(loaded):
    """A program may rely on the names. Rates are shares of the recipients, not rounded."""
    for row in rows(loaded, "statistics", "--as-of", TWO):
        rated = {f"{name}_rate": row[f"{name}_count"] / row["recipients_count"] for name in platform.COUNTS[1:]}
        assert set(row) == {*STATISTICS_KEYS, *(f"{name}_count" for name in platform.COUNTS), *rated}
        assert {name: row[name] for name in rated} == pytest.approx(rated)
        assert row["shares"] == platform.SHARES[row["certificate_id"]]
    assert (row["as_of_date"], row["created_at"], row["kind"]) == (TWO, "2026-03-03T08:00:00Z", "certificate")


def test_a_day_ends_in_the_given_time_zone(loaded):
    """On Kiritimati, 3 March ends at 10:00 UTC. An event at exactly that instant belongs to 4 March."""
    found = rows(loaded, "statistics", "--as-of", TWO, "--timezone", "Pacific/Kiritimati")
    assert [figures(row)[:5] for row in found] == [[10, 2, 1, 1, 10], [8, 0, 0, 0, 7], [2, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("option", "name", "wanted"),
    [("--issuer", "i1", ["c1", "c2"]), ("--issuer", "i2", ["c3"]), ("--certificate", "c2", ["c2"])],
)
def test_statistics_can_be_narrowed(loaded, option, name, wanted):
    """The statistics can be limited to one issuer or one certificate."""
    assert [row["certificate_id"] for row in rows(loaded, "statistics", "--as-of", TWO, option, name)] == wanted


def test_recipients_are_listed_with_the_furthest_state(loaded):
    """There is one object per recipient, by recipient_id, with the address as the registry writes it."""
    found = rows(loaded, "recipients", "--certificate", "c1", "--as-of", TWO)
    assert [list(row) for row in found] == [RECIPIENT_KEYS] * 10
    assert [row["status"] for row in found] == platform.STATUSES
    assert found[9] == {
        "recipient_id": "r10", "email": "Person10@example.com", "name": "Person 10", "status": "bounced",
        "is_bounced": True, "bounce_class": "hard", "bounce_reason": "550 5.1.1 no such user <address>",
        "last_event_at": f"{ONE}T10:00:05Z",
    }  # fmt: skip


def test_recipients_without_a_delivery_say_so(loaded):
    """A dropped mail is rejected, a queued mail is sent."""
    found = rows(loaded, "recipients", "--certificate", "c3", "--as-of", TWO)
    assert [row["status"] for row in found] == ["rejected", "sent"]


def test_slices_are_listed_with_their_counts(loaded):
    """There is one object per slice, and its counts add up to the records read."""
    found = rows(loaded, "slices")
    assert [list(row) for row in found] == [SLICE_KEYS] * 4
    assert [[row[name] for name in SLICE_KEYS[:-1]] for row in found] == [
        ["mail", ONE, "loaded", None, 25, 23, 1, 0, 1, 1],
        ["view", ONE, "loaded", None, 10, 8, 1, 1, 0, 0],
        ["mail", TWO, "loaded", None, 6, 6, 0, 0, 0, 0],
        ["view", TWO, "loaded", None, 5, 5, 0, 0, 0, 0],
    ]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["loaded_at"]) for row in found)
    assert {row["load_date"] for row in rows(loaded, "slices", "--from", TWO, "--to", TWO)} == {TWO}


def test_a_slice_that_was_tried_is_failed_and_any_other_is_missing(tmp_path):
    """Every slice expected up to yesterday and not loaded is listed. A slice that was tried has its reason."""
    configuration = platform.write(tmp_path)
    shutil.rmtree(tmp_path / "mail")
    assert command(configuration, "nightly", "--day", TWO, "--source", "mail").code == 1
    found = rows(configuration, "slices")
    assert [(row["source"], row["load_date"], row["status"]) for row in found] == [
        ("mail", ONE, "missing"), ("view", ONE, "missing"), ("mail", TWO, "failed"), ("view", TWO, "missing")
    ]  # fmt: skip
    assert found[2]["last_error"].startswith("no file matches ")
    assert [row["last_error"] for row in found if row["status"] == "missing"] == [None] * 3


LISTINGS = [
    ("statistics", "--as-of", TWO),
    ("recipients", "--certificate", "c1", "--as-of", TWO),
    ("slices",),
]


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing[0])
def test_csv_has_the_same_cells_as_json(loaded, listing):
    """A spreadsheet reads what a program reads: null is an empty cell, true and false are in lower case."""
    ran = command(loaded, *listing, "--format", "csv")
    found = list(csv.DictReader(io.StringIO(ran.out)))
    assert found == [
        {
            name: value if isinstance(value, str) else "" if value is None else json.dumps(value)
            for name, value in row.items()
        }
        for row in rows(loaded, *listing)
    ]


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing[0])
def test_a_table_shows_every_cell_whole(loaded, listing):
    """A table is not cut to the width of a window, and has no colours."""
    out = command(loaded, *listing, COLUMNS="40").out
    assert "\x1b" not in out
    assert "…" not in out
    shown = [value for row in rows(loaded, *listing) for value in row.values() if isinstance(value, str)]
    assert [value for value in shown if value not in out] == []


def test_a_table_shows_a_count_beside_its_rate(loaded):
    """A count and its percentage share a cell. A rate without recipients is a dash."""
    header, first, *_ = command(loaded, "statistics", "--as-of", TWO).out.splitlines()
    assert "claimed_rate" not in header
    assert "2   20.0 %" in first
    assert "linkedin 2, x 1" in first


# Wrong usage and failures


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["statistics", "--as-of", TWO, "--certificate", "c9"], 1, "error: the registry has no certificate 'c9'"),
        (["recipients", "--certificate", "c9", "--as-of", TWO], 1, "error: the registry has no certificate 'c9'"),
        (["statistics", "--as-of", TWO, "--issuer", "i9"], 1, "error: the registry has no issuer 'i9'"),
        (["reports", "--period", "2026-03", "--subscription", "s9"], 1, "the registry has no subscription 's9'"),
        (["reports", "--period", "2026-13"], 2, "error: '2026-13' is no period; write 2026-11"),
        (["reports", "--period", "2026-03", "--as-of", TWO], 2, "both name a period"),
        (
            ["reports", "--send", "--test-to", "a@b.example"],
            2,
            "error: a test goes to the tester alone; leave out send and resend, or the test address",
        ),
        (
            ["reports", "--send"],
            2,
            "error: mail is switched off; set enabled = true under [mail], or send a test to one address",
        ),
        (["reports", "--resend"], 2, "resend goes with send and a period"),
        (["statistics", "--as-of", TWO, "--timezone", "Mars"], 2, "unknown time zone 'Mars'; use an IANA name"),
        (["nightly", "--day", ONE, "--source", "nobody"], 2, "there is no source 'nobody'; there are mail, view"),
        (["nightly", "--day", TWO, "--to", ONE], 2, "--to lies before --day"),
        (["nightly", "--day", "yesterday"], 2, "yesterday"),
        (["nightly"], 2, "--day"),
        (["statistics", "--as-of", TWO, "--format", "xml"], 2, "xml"),
        (["nonsense"], 2, "nonsense"),
        (["normalise", "--format", "pigeon", "x"], 2, "error: unknown format 'pigeon'; there are "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_has_its_exit_code(loaded, arguments, code, words):
    """A wrong call exits with 2, work that failed with 1. The message names the cause, and stdout is empty."""
    ran = command(loaded, *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert words in " ".join(ran.err.split())


def test_another_hash_key_asks_for_a_rebuild(loaded):
    """Hashes of two keys never meet in one warehouse."""
    ran = run(loaded, "slices", HASH_KEY="another")
    assert ran.code == 1
    assert "another key" in ran.err
    assert "rebuild" in ran.err


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example(verb):
    """The help of every command has an example that works when it is copied."""
    ran = run(None, verb, "--help", COLUMNS="200")
    assert ran.code == 0
    assert f"Example: python -m etl {verb}" in ran.out


def test_the_command_line_is_started_as_the_manual_says():
    """`python -m etl` lists the commands."""
    ran = subprocess.run([sys.executable, "-m", "etl", "--help"], capture_output=True, text=True, check=True)
    assert [verb for verb in VERBS if verb not in ran.stdout] == []


# check


def test_check_reports_every_place(loaded):
    """`check` prints one line for each place, and exits with 0 when all is well."""
    ran = command(loaded, "check")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split(":")[0] for line in ran.out.splitlines()] == [
        f"ok  {name}" for name in ("state", "landing", "warehouse", "registry", "sources.mail", "sources.view", "mail")
    ]


def test_check_names_what_is_wrong(loaded):
    """The faulty place is marked, and the others are tried all the same."""
    ran = command(loaded, "check", ANALYTICS_REGISTRY__URL="file:///nowhere")
    assert ran.code == 1
    assert "BAD registry: the registry at file:///nowhere has no issuers.csv; put the file there" in ran.out
    assert ran.out.count("BAD") == 1


# normalise

EVENT = '{"event": "delivered", "email": "Ada@Example.com", "timestamp": 1772445600, "sg_event_id": "a"}'


def test_normalise_shows_every_event_and_every_reject_without_a_configuration(tmp_path):
    """Stdout has only events, repeated ones too. The rejects have their own file, and the counts end stderr."""
    (tmp_path / "a.json").write_text(f"{EVENT}\n{EVENT}\nno json ü\n")
    ran = run(None, "normalise", "--format", "sendgrid", "--rejects", f"{tmp_path}/r.ndjson", f"{tmp_path}/a.json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [(event["event_key"], event["email"]) for event in events] == [("a", "Ada@Example.com")] * 2
    assert not {"source", "load_date", "ip"} & set(events[0])
    assert events[0]["occurred_at"] == "2026-03-02T10:00:00.000000Z"
    assert (ran.code, ran.err) == (0, "events 2, rejects 1, ignored 0\n")
    reject = json.loads((tmp_path / "r.ndjson").read_text())
    assert list(reject) == ["file", "line", "reason", "raw"]
    assert (reject["file"], reject["line"], reject["raw"]) == (f"{tmp_path}/a.json", 3, "no json ü")


def test_normalise_reads_a_log_of_the_pixel_by_its_path(tmp_path):
    """Requests for another path are ignored, and counted."""
    (tmp_path / "access.log").write_text("\n".join(platform.PIXEL[platform.DAYS[0]]))
    ran = run(None, "normalise", "--format", "nginx_combined", "--pixel-path", "/index.html", f"{tmp_path}/access.log")
    assert ran.err == "events 0, rejects 1, ignored 9\n"


def test_normalise_writes_the_file_of_rejects_even_when_there_is_none(tmp_path):
    """The file never holds the rejects of an earlier run."""
    (tmp_path / "a.json").write_text(EVENT)
    (tmp_path / "r.ndjson").write_text("yesterday's")
    run(None, "normalise", "--format", "sendgrid", "--rejects", f"{tmp_path}/r.ndjson", f"{tmp_path}/a.json")
    assert (tmp_path / "r.ndjson").read_text() == ""


def test_normalise_cuts_what_it_shows_of_a_reject(tmp_path):
    """At most 4 KB of a damaged record are shown, and bytes that are not text are replaced."""
    (tmp_path / "a.json").write_bytes(b"\xff" + b"x" * 9000)
    run(None, "normalise", "--format", "sendgrid", "--rejects", f"{tmp_path}/r.ndjson", f"{tmp_path}/a.json")
    raw = json.loads((tmp_path / "r.ndjson").read_text())["raw"]
    assert raw.startswith("\N{REPLACEMENT CHARACTER}xxx")
    assert 4000 < len(raw.encode()) <= 4096


@pytest.mark.parametrize(
    ("name", "content"), [("none.json", None), ("cut.json.gz", b"\x1f\x8b\x08\x00"), ("x.zst", b"?")]
)
def test_normalise_prints_the_others_where_a_file_cannot_be_read(tmp_path, name, content):
    """The unreadable file is named on a line of stderr, and the exit code is 1."""
    (tmp_path / "a.json").write_text(EVENT)
    if content:
        (tmp_path / name).write_bytes(content)
    ran = run(None, "normalise", "--format", "sendgrid", f"{tmp_path}/{name}", f"{tmp_path}/a.json")
    assert (ran.code, len(ran.out.splitlines())) == (1, 1)
    error, last = ran.err.splitlines()
    assert error.startswith(f"error: {tmp_path}/{name} cannot be read: ")
    assert last == "events 1, rejects 0, ignored 0"


def test_a_file_of_rejects_that_cannot_be_written_is_an_error(tmp_path):
    """The error is one line, without a traceback."""
    (tmp_path / "a.json").write_text(EVENT)
    ran = run(None, "normalise", "--format", "sendgrid", "--rejects", "/nowhere/r", f"{tmp_path}/a.json")
    assert ran.code == 1
    assert ran.err == "error: /nowhere/r: No such file or directory; see that there is room and permission\n"


# reports


def report_of(period, tmp_path):
    """Return the arguments that make one report by name."""
    return ("reports", "--period", period, "--subscription", "s2", "--output", f"{tmp_path}/out")


FILES = ["message.eml", "recipients.csv", "recipients.xlsx", "report.html", "report.pdf"]


@pytest.fixture
def mail_server(tmp_path):
    """Yield the URL of a mail server, and the folder of its mails."""
    port = free_port()
    server = sink.start(tmp_path / "mails", port)
    yield f"smtp://{sink.LOOPBACK}:{port}", tmp_path / "mails"
    server.stop()


def test_reports_of_a_day_are_written_for_every_subscription(own, tmp_path):
    """Each subscription gets its latest period that ended by then, in a separate folder. Nothing is sent."""
    ran = command(own, "reports", "--as-of", TWO, "--output", f"{tmp_path}/out")
    assert (ran.code, ran.out) == (0, "")
    assert [line.split(":")[0] for line in ran.err.splitlines()] == [f"s1 {TWO}", f"s2 {TWO}", "s3 2026-02"]
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    folders = (f"s1/{TWO}", f"s2/{TWO}", "s3/2026-02")
    assert written == ["index.html", *(f"{folder}/{name}" for folder in folders for name in FILES)]
    links = re.findall(r'href="([^"]+)"', Path(tmp_path, "out", "index.html").read_text())
    assert sorted(links) == written[1:]


def test_the_index_leads_to_all_that_was_rendered_and_names_what_failed(own, tmp_path):
    """A second run into the same folder adds to the page, and names the report that it could not send."""
    assert command(own, *report_of(TWO, tmp_path)).code == 0
    failing = (
        "reports",
        "--period",
        TWO,
        "--subscription",
        "s1",
        "--output",
        f"{tmp_path}/out",
        "--test-to",
        "me@x.example",
    )
    assert command(own, *failing, ANALYTICS_MAIL__URL="smtp://127.0.0.1:9").code == 1
    page = Path(tmp_path, "out", "index.html").read_text()
    assert page.count('<th scope="row"') == 2
    assert page.count("<strong>Failed:</strong> the test could not be sent for now") == 1
    assert all(f'href="{name}/{TWO}/{file}"' in page for name in ("s1", "s2") for file in FILES)
    assert "@" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


def test_a_test_goes_to_the_tester_alone_while_mail_is_off(own, mail_server, tmp_path):
    """An operator can see a mail before any issuer does."""
    url, mails = mail_server
    ran = command(own, *report_of(TWO, tmp_path), "--test-to", "me@tester.example", ANALYTICS_MAIL__URL=url)
    assert ran.code == 0
    (mail,) = mails.iterdir()
    assert mail.name == "0001-me@tester.example.eml"
    assert message_from_bytes(mail.read_bytes(), policy=policy.default)["To"] == "me@tester.example"


def test_a_report_is_sent_once_however_often_it_is_asked_for(own, mail_server, tmp_path):
    """A second run says that the report was sent, and sends nothing."""
    url, mails = mail_server
    asked = (*report_of(TWO, tmp_path), "--send")
    first, second = (command(own, *asked, ANALYTICS_MAIL__URL=url, ANALYTICS_MAIL__ENABLED="true") for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert first.err.endswith(", sent\n")
    assert second.err.endswith(", was sent before\n")
    (mail,) = mails.iterdir()
    message = message_from_bytes(mail.read_bytes(), policy=policy.default)
    assert message["To"].addresses[0].addr_spec == "dean@southridge.example"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_report_of_days_that_are_not_whole_is_rendered_and_not_sent(own, mail_server, tmp_path):
    """An empty or incomplete report never reaches an issuer."""
    url, mails = mail_server
    own.write_text(own.read_text().replace("until = 2026-03-03", "until = 2026-03-04"))
    ran = command(
        own, *report_of("2026-03-04", tmp_path), "--send", ANALYTICS_MAIL__URL=url, ANALYTICS_MAIL__ENABLED="1"
    )
    assert ran.code == 1
    assert "s2 2026-03-04 is not sent: its data are not whole" in ran.err
    assert list(mails.iterdir()) == []
    assert Path(tmp_path, "out", "s2", "2026-03-04", "report.pdf").is_file()


def test_a_mail_server_that_is_not_there_fails_the_report_and_not_its_files(own, tmp_path):
    """The error says what to repair, and the report's files are written."""
    ran = command(own, *report_of(TWO, tmp_path), "--test-to", "me@x.example", ANALYTICS_MAIL__URL="smtp://127.0.0.1:9")
    assert ran.code == 1
    assert ran.err.startswith("error: the test could not be sent for now ")
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == ["index.html", *FILES]


def test_nothing_is_due_on_the_first_day_that_mail_is_on(own, mail_server):
    """A new installation does not send a burst of mails: the latest periods are its baseline."""
    url, mails = mail_server
    ran = command(own, "reports", "--send", ANALYTICS_MAIL__URL=url, ANALYTICS_MAIL__ENABLED="true")
    assert (ran.code, ran.err) == (0, "no report is due; name one with --period\n")
    assert list(mails.iterdir()) == []


def test_a_quiet_period_is_a_short_mail_or_none(own, mail_server, tmp_path):
    """Where nothing is new a mail says just that, or no mail goes out. Neither is sent again."""
    url, mails = mail_server

    def sent(period, when_quiet="short", *more):
        """Send the report of a day, and return what the command said of it."""
        asked = (*report_of(period, tmp_path), "--send", *more)
        configured = {
            "ANALYTICS_MAIL__URL": url,
            "ANALYTICS_MAIL__ENABLED": "true",
            "ANALYTICS_MAIL__WHEN_QUIET": when_quiet,
        }
        return command(own, *asked, **configured).err.rpartition(", ")[2].strip()

    assert [sent(TWO), sent("2026-03-04"), sent("2026-03-05", "skip")] == [
        "sent", "because nothing is new", "because nothing is new",
    ]  # fmt: skip
    assert [sent("2026-03-04"), sent("2026-03-05", "skip")] == ["was sent before", "because nothing is new"]
    first, short = (message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(mails.iterdir()))
    assert short["Subject"].startswith("Nothing new, 0 of 2 claimed") and "3 Mar 2026" in short.get_body().get_content()
    assert (len(list(first.iter_attachments())), len(list(short.iter_attachments()))) == (2, 0)
    assert sent("2026-03-05", "skip", "--resend") == "sent"


class NoSuchUser:
    """A mail server that does not know one of the readers."""

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        """Refuse the recipient for good."""
        return f"550 5.1.1 <{address}> User unknown"


def test_an_address_that_failed_for_good_is_written_to_only_when_asked(own, mail_server, tmp_path):
    """The engineer is told in each run; another address in the registry, or --resend, ends it."""
    refusing = Controller(NoSuchUser(), hostname=sink.LOOPBACK, port=free_port())
    refusing.start()
    on = {"ANALYTICS_MAIL__ENABLED": "true", "ANALYTICS_MAIL__SEND_HOUR": "0"}
    asked = (*report_of(TWO, tmp_path), "--send")
    try:
        first = command(own, *asked, ANALYTICS_MAIL__URL=f"smtp://{sink.LOOPBACK}:{refusing.port}", **on)
    finally:
        refusing.stop()
    assert (first.code, "550 5.1.1 <address> User unknown" in first.err) == (1, True)
    url, mails = mail_server
    due, again = (
        command(own, "reports", "--send", "--output", f"{tmp_path}/out", ANALYTICS_MAIL__URL=url, **on),
        command(own, *report_of(ONE, tmp_path), "--send", ANALYTICS_MAIL__URL=url, **on),
    )
    for ran in (due, again):
        assert re.search(r"the report s2 \S+ is not sent: the mail server refused its address for good on 20", ran.err)
        assert "--resend" in ran.err
    assert (again.code, list(mails.iterdir())) == (1, [])
    [seen] = json.loads(command(own, "status", "--format", "json", **on).out)
    assert (seen["dead_addresses"], "refused for good: 1 subscription (s2)" in str(seen["troubles"])) == (["s2"], True)
    resent = command(own, *asked, "--resend", ANALYTICS_MAIL__URL=url, **on)
    after = command(own, *report_of(ONE, tmp_path), "--send", ANALYTICS_MAIL__URL=url, **on)
    assert (resent.code, after.code, len(list(mails.iterdir()))) == (0, 0, 2)


def test_a_waived_slice_is_no_longer_missing(own):
    """A slice that will never come is waived with a reason, and holds nothing back. An unknown source is refused."""
    own.write_text(own.read_text().replace("until = 2026-03-03", "until = 2026-03-04"))
    waived = ("waive", "--source", "mail", "--day", "2026-03-04", "--reason", "provider outage")
    assert [command(own, *waived).code for _ in range(2)] == [0, 0]
    (row,) = (
        row for row in rows(own, "slices", "--from", "2026-03-04", "--to", "2026-03-04") if row["source"] == "mail"
    )
    assert row["status"] == "waived"
    assert command(own, "waive", "--source", "mail_server", "--day", ONE, "--reason", "none").code == 2


def test_only_the_link_of_a_report_unsubscribes(own, mail_server, tmp_path):
    """One click is enough, a second one changes nothing, and a guessed token is refused."""
    url, mails = mail_server
    asked = (*report_of(TWO, tmp_path), "--send")
    assert command(own, *asked, ANALYTICS_MAIL__URL=url, ANALYTICS_MAIL__ENABLED="true").code == 0
    message = message_from_bytes(next(mails.iterdir()).read_bytes(), policy=policy.default)
    token = message["List-Unsubscribe"].strip("<>").rsplit("/", 1)[1]
    assert [command(own, "unsubscribe", each).code for each in (token, token, f"{token}x")] == [0, 0, 2]
    refused = command(own, *asked, "--resend", ANALYTICS_MAIL__URL=url, ANALYTICS_MAIL__ENABLED="true")
    assert (refused.code, len(list(mails.iterdir()))) == (1, 1)
