"""Events pulled through the providers' APIs, from a local server that behaves as they document them."""

import gzip
import json
import logging
import socketserver
import threading
import types
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from pyarrow import parquet

from etl import extract, normalise, settings
from etl.errors import ConfigurationError, EndlessPaging, ExpiredSlice, RefusedKey, SliceError, UnreachableSource
from etl.extract import PROVIDERS, api
from etl.landing import Landing, slice_prefix
from tests.provider_server import KEY, serve

DAY = date(2026, 11, 2)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
TODAY = DAY + timedelta(days=1)
PREFIX = slice_prefix("mail", DAY)
AT_ONCE = {**api.PATIENCE, "backoff_factor": 0}
DOMAINS = {"mailgun": "mail.example.com", "mailersend": "jpzkmgq7"}
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['case']}")
    for path in sorted(Path("tests/cases/extract").glob("*.yaml"))
    for case in yaml.safe_load(path.read_text())
]


def iso(second):
    """Return a moment of the day, so many seconds after noon."""
    return (NOON + timedelta(seconds=second)).isoformat()


TO, MAIL = {"recipient": "a@b.example"}, {"message": {"id": "m"}}
LISTED = {
    "mailgun": ("events", 700, lambda n: {"id": f"e{n}", "event": "opened", "timestamp": NOON.timestamp() + n, **TO}),
    "mailgun_logs": ("logs", 230, lambda n: {"id": f"e{n}", "event": "opened", "@timestamp": iso(n), **TO}),
    "postmark": ("opens", 1200, lambda n: {"RecordType": "Open", "MessageID": f"m{n}", "ReceivedAt": iso(n)}),
    "sparkpost": ("events", 25, lambda n: {"type": "open", "event_id": f"e{n}", "timestamp": iso(n), "rcpt_to": "a@b"}),
    "brevo": ("events", 5001, lambda n: {"event": "opened", "email": f"a{n}@b.example", "date": iso(n)}),
    "mailersend": ("activity", 201, lambda n: {"id": f"e{n}", "type": "opened", "created_at": iso(n), "email": MAIL}),
    "mailjet": ("openinformation", 2000, lambda n: {"OpenedAt": iso(n), "MessageID": n, "UserAgentFull": "Thunder"}),
    "sendgrid": ("mails", 230, lambda n: {"sg_message_id": f"m{n}.recvd", "sg_message_id_created_at": iso(n)}),
}  # fmt: skip
"""By provider: the listing that is pulled, its number of rows (more than two pages), and a function that makes a row."""

EVERY = pytest.mark.parametrize("kind", list(LISTED))


@contextmanager
def holding(kind, count=None):
    """Yield a provider that holds so many rows of one listing, ordered by time."""
    listing, usual, row = LISTED[kind]
    with serve(kind.removesuffix("_logs")) as server:
        server.page_size = 10
        fill(server, listing, [row(number) for number in range(usual if count is None else count)])
        yield server


def fill(server, listing, rows):
    """Put rows into a listing, and an open for each of SendGrid's mails."""
    server.rows[listing] = rows
    mails = rows if listing == "mails" else []
    server.rows["details"] = [
        {"api_key_id": "k1", "sg_message_id": mail["sg_message_id"], "events": [sendgrid_event(mail, number)]}
        for number, mail in enumerate(mails)
    ]


def sendgrid_event(mail, number):
    """Return the Email Logs API's event of an open."""
    return {"event": "open", "sg_event_id": f"e{number}", "sg_message_id": mail["sg_message_id"],
            "timestamp": int(NOON.timestamp()) + number}  # fmt: skip


def source(server, kind=None, **differing):
    """Return a source that is pulled from that server."""
    domain = None if kind == "mailgun_logs" else DOMAINS.get(server.provider)
    options = {"format": server.provider, "api": server.url, "secret": "KEY", "domain": domain} | differing
    return settings.Source(**options)


def pull(landing, server, kind=None, *, today=TODAY, key=KEY, replace=False, **differing):
    """Extract the day, without pauses."""
    mail = source(server, kind, **differing)
    provider = PROVIDERS[mail.format]
    return api.extract(
        landing, "mail", mail, provider, DAY, {"KEY": key}.get, today=today, replace=replace, patience=AT_ONCE
    )


def events(landing, server):
    """Normalise the landed slice, and return its counts and its events by time."""
    manifest = normalise.normalise_slice(
        landing, settings.Normalise(), "mail", source(server), DAY, hash_key="of the tests"
    )
    rows = parquet.read_table(landing.path(PREFIX, manifest.events)).to_pylist()
    return manifest.counts, sorted(rows, key=lambda row: (row["occurred_at"], row["event_key"]))


def raw(landing, manifest):
    """Return the bytes of the landed answers, in order."""
    return [landing.read(landing.path(PREFIX, file.path)) for file in manifest.raw]


def progress(landing):
    """Return the record of an unfinished pull."""
    return landing.read(landing.path(PREFIX, "progress.json"))


# Answers


@pytest.mark.parametrize(("provider", "case"), CASES)
def test_a_providers_rows_become_events(landing, provider, case):
    """Every listing's rows are understood: each event that the API lists becomes one event, and nothing else does."""
    with serve(provider) as server:
        server.rows = case["rows"]
        pull(landing, server, **case.get("source", {}))
    counts, found = events(landing, server)
    assert len(found) == len(case["events"])
    assert (counts.reject, counts.ignored) == (0, case.get("ignored", 0))
    for event, expected in zip(found, case["events"], strict=True):
        assert {name: str(event[name]) for name in expected} == {name: str(value) for name, value in expected.items()}


@EVERY
def test_pages_are_followed_to_the_last(landing, kind):
    """All rows of more than two pages are extracted, each once."""
    with holding(kind) as server:
        pull(landing, server, kind)
        counts, found = events(landing, server)
    assert len(found) == LISTED[kind][1]
    assert counts.duplicate == counts.reject == 0


@EVERY
def test_a_day_without_events_is_a_whole_day(landing, kind):
    """An empty answer is an answer: the slice is landed, and has no events."""
    with holding(kind, count=0) as server:
        manifest = pull(landing, server, kind)
        counts, found = events(landing, server)
    assert manifest.raw
    assert (counts.event, counts.reject, found) == (0, 0, [])


@EVERY
def test_only_the_utc_day_is_extracted(landing, kind):
    """An event a moment before or after belongs to another day, whatever time zone the provider uses."""
    listing, _, row = LISTED[kind]
    with holding(kind, count=0) as server:
        fill(server, listing, [row(second) for second in (-43_201, -43_200, 43_199, 43_201)])
        pull(landing, server, kind)
    pages = [json.loads(body) for body in server.sent]
    listed = [each for page in pages for rows in page.values() if isinstance(rows, list) for each in rows]
    assert [row for row in server.rows[listing] if row in listed] == server.rows[listing][1:3]


def test_answers_are_landed_byte_for_byte(landing):
    """Raw answers are unchanged. The origin of each file is recorded, without the query and the key."""
    with holding("mailgun") as server:
        manifest = pull(landing, server)
    assert raw(landing, manifest) == server.sent
    assert len({file.origin for file in manifest.raw}) == len(manifest.raw)
    assert manifest.raw[0].origin == "events 0000: /v3/mail.example.com/events"


def test_landed_answers_are_reused_without_a_network(landing):
    """With --from-landing no provider is called."""
    with holding("sparkpost") as server:
        pull(landing, server)
    extract.reuse_landed(landing, "mail", DAY)
    assert events(landing, server)[0].event == 25


def test_details_of_many_messages_share_files(landing):
    """A night of thousands of messages makes dozens of files."""
    with holding("sendgrid") as server:
        manifest = pull(landing, server)
    assert [file.path.rsplit("/", 1)[-1] for file in manifest.raw] == [
        "0000-mails.json", "0001-events.json", "0002-events.json", "0003-events.json",
    ]  # fmt: skip


def test_more_messages_than_postmark_lists_are_requested_in_parts(landing):
    """Postmark lists at most ten thousand messages per query, so the day is halved until each part has fewer."""
    with serve("postmark") as server:
        row = LISTED["postmark"][2]
        server.rows["opens"] = [row(second) for second in range(-15_000, -4_500)] + [row(second) for second in range(3)]
        pull(landing, server)
        counts, found = events(landing, server)
    assert len(found) == 10_503
    assert counts.reject == 0


def test_more_mails_than_sendgrid_lists_are_requested_in_parts(landing):
    """SendGrid has no second page, so a full answer is requested again in halves of its time."""
    with holding("sendgrid", count=1001) as server:
        pull(landing, server)
        counts, found = events(landing, server)
    assert len({event["event_key"] for event in found}) == 1001
    assert counts.reject == 0


def test_more_mails_in_a_second_than_sendgrid_lists_are_an_error(landing):
    """Mails that cannot be separated by time are not dropped silently."""
    with serve("sendgrid") as server:
        server.rows["mails"] = [{"sg_message_id": f"m{n}", "sg_message_id_created_at": iso(0)} for n in range(1000)]
        with pytest.raises(UnreachableSource, match="more within a second than the provider gives"):
            pull(landing, server)


def test_a_link_to_another_host_does_not_get_the_key(landing):
    """Pages are requested from the configured address, wherever their links point. Mailgun's name another host."""
    with holding("mailgun") as server:
        pull(landing, server)
    assert b"https://api.mailgun.net/" in server.sent[0]
    assert len(server.asked) == len(server.sent) == 4


# Failures


@EVERY
@pytest.mark.parametrize("fault", [429, 500, 503, "drop", "cut"])
def test_a_passing_fault_costs_nothing(landing, kind, fault):
    """After too many requests, a server error, a broken connection or a cut answer, the request is repeated."""
    with holding(kind) as server:
        server.faults = {0: fault, 2: fault}
        manifest = pull(landing, server, kind)
    assert len(server.asked) == len(server.sent) + 2
    assert b"\n".join(raw(landing, manifest)) == b"\n".join(server.sent)


def test_a_provider_that_asks_to_wait_is_waited_for(landing):
    """Retry-After is respected."""
    with holding("brevo") as server:
        server.faults = {1: {"status": 429, "Retry-After": 1}}
        pull(landing, server)
    assert server.asked[2].at - server.asked[1].at >= 1


@pytest.mark.parametrize("pause", [901, 86_400, 10**12])
def test_a_long_pause_ends_the_pull(landing, pause):
    """A task does not wait for hours in silence. The error has the seconds that the provider asks for."""
    with holding("brevo") as server:
        server.faults = {1: {"status": 429, "Retry-After": pause}}
        with pytest.raises(UnreachableSource, match=r"it asks for a pause of [0-9,]+ s"):
            pull(landing, server)
    assert len(server.asked) == 2


UNPACKED = 40 << 20
BOMBS = {
    "one text": b'{"events": ["%s"]}' % (b"x" * UNPACKED),
    "white space": b" " * UNPACKED,
    "lists": b"[" * UNPACKED,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_an_answer_that_unpacks_to_too_much_is_ended(landing, bomb):
    """It is cut where it exceeds what any provider answers, whatever its size on the wire, and nothing of it is kept."""
    with holding("brevo", 1) as server:
        server.faults = {0: gzip.compress(BOMBS[bomb])}
        with pytest.raises(UnreachableSource, match="its answer has over 32 MB"):
            pull(landing, server)
    assert landing.newest(PREFIX) is None


def test_an_answer_that_nests_without_end_is_not_as_documented(landing):
    """It is an error of the slice, and not of the night."""
    with holding("brevo", 1) as server:
        server.faults = {0: gzip.compress(b"[" * 1_000_000)}
        with pytest.raises(UnreachableSource, match="its answer is not as documented"):
            pull(landing, server)


def test_paging_without_end_is_ended(landing, monkeypatch):
    """Each page links to a further one with new rows. The pull ends at a bound, and says so."""
    monkeypatch.setattr(api, "MOST_ANSWERS", 20)
    with serve("sparkpost") as server:

        def answer(asked, _headers):
            link = f"/api/v1/events/message?cursor={len(server.asked)}"
            return {"results": [LISTED["sparkpost"][2](len(server.asked))], "links": {"next": link}}

        server.answer = answer
        with pytest.raises(EndlessPaging, match="21 answers for events, and its paging does not end"):
            pull(landing, server)
    assert len(server.asked) == 21
    assert progress(landing) is None


def test_paging_that_repeats_an_answer_is_ended(landing):
    """A server that ignores the offset would give its first page for ever."""
    with serve("brevo") as server:
        rows = [LISTED["brevo"][2](number) for number in range(2500)]
        server.answer = lambda _asked, _headers: {"events": rows}
        with pytest.raises(EndlessPaging, match="its paging does not end"):
            pull(landing, server)
    assert len(server.asked) == api.MOST_REPEATS + 1


def test_the_record_of_a_long_pull_is_not_written_after_every_answer(landing, monkeypatch):
    """It grows with the pull, so a long one would write it for longer than it pulls. A killed one goes on all the same."""
    monkeypatch.setattr(api, "_KEPT_EACH", 3)
    kept, keep = [], api._keep
    monkeypatch.setattr(api, "_keep", lambda *given: kept.append(given) or keep(*given))
    with holding("sparkpost", 250) as server:
        server.faults = dict.fromkeys(range(22, 50), 500)
        with pytest.raises(UnreachableSource):
            pull(landing, server)
        assert len(kept) < 15
        assert 15 < len(json.loads(progress(landing))["landed"]) <= 22
        server.faults = {}
        pull(landing, server)
        assert events(landing, server)[0].event == 250


@pytest.mark.parametrize("pause", ["9" * 400, "9" * 5000, "Fri, 31 Dec 99999 23:59:59 GMT", "soon", "-5", ""])
def test_a_pause_that_is_none_is_an_error_or_no_pause(landing, pause):
    """Whatever a provider writes there, the pull ends with a sentence, or goes on."""
    with holding("brevo", 1) as server:
        server.faults = {0: {"status": 429, "Retry-After": pause}}
        with suppress(UnreachableSource):
            pull(landing, server)


def test_a_resumed_pull_begins_anew_only_where_its_page_is_gone(landing):
    """A provider that asks for patience still has the page, so what was pulled is kept."""
    for status, is_kept in ((429, True), (408, True), (503, True), (404, False), (410, False)):
        with holding("sparkpost", 25) as server:
            server.faults = dict.fromkeys(range(1, 20), 500)
            with pytest.raises(UnreachableSource):
                pull(landing, server)
            former = json.loads(progress(landing))["version"]
            server.faults = dict.fromkeys(range(len(server.asked), len(server.asked) + 20), status)
            with pytest.raises(UnreachableSource):
                pull(landing, server)
            assert (json.loads(progress(landing))["version"] == former) is is_kept, status


@EVERY
@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_reported_and_not_shown(landing, caplog, kind, status):
    """The error names the secret to correct. Its value appears nowhere."""
    caplog.set_level(logging.DEBUG)
    with holding(kind) as server:
        server.faults = {0: status} if status == 403 else {}
        with pytest.raises(RefusedKey, match="secret KEY") as caught:
            pull(landing, server, kind, key="wrong-9b1d" if status == 401 else KEY)
    message = f"{caught.value!r} {caplog.text} {landing.newest(PREFIX)} {progress(landing)!r}"
    assert KEY not in message
    assert "wrong-9b1d" not in message


@EVERY
def test_a_key_is_in_no_log_and_no_landed_file(landing, caplog, kind):
    """Neither the log, at any level, nor the landing holds the key."""
    caplog.set_level(logging.DEBUG)
    with holding(kind) as server:
        server.faults = {1: 500}
        pull(landing, server, kind)
    kept = b"".join(landing.read(path) for path in landing.filesystem.find(landing.root))
    assert caplog.text
    assert KEY not in caplog.text
    assert KEY.encode() not in kept


@pytest.mark.parametrize(
    "answer", ["nonsense {key}\r\n\r\n", "HTTP/1.1 500 {key}\r\n: {key}\r\nContent-Length: 0\r\n\r\n"]
)
def test_a_key_that_a_broken_answer_repeats_is_in_no_log(landing, caplog, answer):
    """The HTTP library warns of an answer that it cannot read, and quotes it."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            self.request.sendall(answer.format(key=KEY).encode())

    caplog.set_level(logging.DEBUG)
    with socketserver.TCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever).start()
        echoing = types.SimpleNamespace(provider="brevo", url=f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(UnreachableSource) as caught:
            pull(landing, echoing)
        server.shutdown()
    assert caplog.text
    assert KEY not in f"{caught.value} {caplog.text}"


@pytest.mark.parametrize("key", ["a\nb", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_reported_and_not_shown(landing, key):
    """A secret that was pasted with a line break gives a clear error."""
    with holding("brevo") as server, pytest.raises(SliceError, match="secret KEY holds signs") as caught:
        pull(landing, server, key=key)
    assert key not in str(caught.value)


def test_a_line_break_after_a_key_is_removed(landing):
    """A file or a shell may add a line break to a secret."""
    with holding("brevo", count=0) as server:
        assert pull(landing, server, key=f"{KEY}\n").raw


def test_a_key_that_is_not_set_fails_its_own_slice(landing):
    """The other sources of the night go on."""
    with holding("brevo") as server, pytest.raises(SliceError, match="secret KEY is not set"):
        pull(landing, server, key=None)


def test_a_netrc_of_the_host_does_not_replace_the_key(landing, tmp_path, monkeypatch):
    """What another program stores for 127.0.0.1 is not sent to a provider."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with holding("sparkpost") as server:
        assert pull(landing, server).raw


@pytest.mark.parametrize("name", list(PROVIDERS))
def test_a_day_past_the_providers_retention_is_an_error_that_says_so(landing, name):
    """The answer would be empty and would look complete, so the provider is not called."""
    kept = PROVIDERS[name].RETENTION_DAYS
    with serve(name) as server:
        with pytest.raises(ExpiredSlice, match=f"promises to keep {kept} days"):
            pull(landing, server, today=DAY + timedelta(days=kept))
        assert not server.asked
        assert pull(landing, server, today=DAY + timedelta(days=kept - 1)).raw


def test_a_plan_that_keeps_more_is_pulled_with_replace(landing):
    """An operator who knows the plan can override the limit."""
    with holding("mailgun") as server:
        assert pull(landing, server, today=DAY + timedelta(days=20), replace=True).raw


@EVERY
def test_a_provider_that_stays_down_is_an_error_with_its_status(landing, kind):
    """After the last try the error says what was requested and what was answered. Nothing is published."""
    with holding(kind) as server:
        server.down_from = 1
        with pytest.raises(UnreachableSource, match="it answered 503"):
            pull(landing, server, kind)
    assert landing.newest(PREFIX) is None


def test_a_provider_that_cannot_be_reached_is_an_error_without_its_url(landing):
    """The error says in words that there is no connection, without the requested URL."""
    with holding("mailgun") as server:
        pass
    with pytest.raises(UnreachableSource, match="no connection") as caught:
        pull(landing, server)
    assert "begin" not in str(caught.value)


ELSEWHERE = {"status": 302, "Location": "https://elsewhere.example"}


@pytest.mark.parametrize(
    ("fault", "message"), [("html", "not as documented"), (ELSEWHERE, "answered 302"), (422, "answered 422")]
)
def test_an_unusable_answer_is_an_error(landing, fault, message):
    """A sign-in page, a redirection that would pass the key on, and a refusal are each reported."""
    with holding("brevo") as server:
        server.faults = {0: fault}
        with pytest.raises(UnreachableSource, match=message):
            pull(landing, server)


def test_paging_in_a_circle_is_an_error(landing):
    """A server that names the same page for ever does not fill a disk."""
    with holding("sparkpost") as server:
        server.answer = lambda *_: {"results": [1], "links": {"next": "/api/v1/events/message?cursor=1"}}
        with pytest.raises(UnreachableSource, match="round in a circle"):
            pull(landing, server)


# Unfinished pulls


@EVERY
def test_a_pull_that_was_stopped_continues_where_it_stopped(landing, tmp_path, kind):
    """Landed answers are not requested again, and in the end no row is missing or repeated."""
    with holding(kind) as server:
        pull(Landing(f"file://{tmp_path}/at-once"), server, kind)
        whole, server.down_from = len(server.sent), len(server.sent) + 2
        with pytest.raises(UnreachableSource):
            pull(landing, server, kind)
        server.down_from = None
        manifest = pull(landing, server, kind)
        counts, found = events(landing, server)
    repeated = 1 if kind == "sendgrid" else 0  # all details of an unfinished file are requested again
    assert len(server.sent) == 2 * whole + repeated
    assert len(found) == LISTED[kind][1]
    assert counts.duplicate == 0
    assert len(manifest.raw) == len({file.path for file in manifest.raw})
    assert progress(landing) is None


@pytest.mark.parametrize("differing", [{"today": TODAY + timedelta(days=1)}, {"domain": None}], ids=str)
def test_a_pull_begins_again_on_another_day_or_configuration(landing, differing):
    """A later day may have later events, and another configuration makes other requests, so the pull begins again."""
    with holding("mailgun") as server:
        server.down_from = 2
        with pytest.raises(UnreachableSource):
            pull(landing, server)
        server.down_from, asked = None, len(server.asked)
        pull(landing, server, **differing)
    assert server.asked[asked].path == (
        "/v1/analytics/logs" if "domain" in differing else "/v3/mail.example.com/events"
    )


def test_an_expired_page_restarts_the_pull_once(landing):
    """Cursors expire. A pull that cannot go on begins again, and fails if that is refused, too."""
    with holding("sparkpost") as server:
        server.down_from = 1
        with pytest.raises(UnreachableSource):
            pull(landing, server)
        server.down_from, asked = None, len(server.asked)
        server.faults = {asked: 400}
        pull(landing, server)
        assert [asked.query["cursor"] for asked in server.asked[asked : asked + 2]] == [["10"], ["initial"]]
        counts, found = events(landing, server)
    assert len(found) == counts.raw == 25


def test_a_finished_pull_is_pulled_again_whole(landing):
    """To get late events, the next pull requests every page again."""
    with holding("mailgun", count=1) as server:
        pull(landing, server)
        server.rows["events"].append(LISTED["mailgun"][2](2))
        pull(landing, server)
        assert events(landing, server)[0].event == 2


# The stage


def test_the_stage_pulls_a_source_with_an_api(landing):
    """The configuration decides between files and API."""
    with holding("brevo", count=1) as server:
        extract.extract_slice(landing, "mail", source(server), DAY, {"KEY": KEY}.get, today=TODAY)
    assert landing.newest(PREFIX).raw


def test_check_says_whether_an_api_answers(landing):
    """`check` makes one request, with the key."""
    with holding("mailgun") as server:
        assert extract.probe(source(server), DAY, {"KEY": KEY}.get) == f"{server.url} answers for 2026-11-02"
        assert len(server.asked) == 1
        with pytest.raises(RefusedKey):
            extract.probe(source(server), DAY, {"KEY": "wrong"}.get)


@pytest.mark.parametrize(("differing", "message"), [
    ({"format": "ses"}, "sources.mail.api: ses has none"),
    ({"format": "brevo", "secret": None}, "sources.mail.secret is missing"),
    ({"format": "mailersend"}, "sources.mail.domain is missing"),
])  # fmt: skip
def test_a_source_that_cannot_be_pulled_is_named_before_the_night(differing, message):
    """The error names the wrong key of the configuration."""
    mail = settings.Source(**{"api": "https://api.example.com", "secret": "KEY"} | differing)
    with pytest.raises(ConfigurationError, match=message):
        extract.check_sources({"mail": mail})
