"""The events and rejects of one slice that the stage normalise lands, whole or not at all."""

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from etl import normalise, settings
from etl.errors import ConfigurationError, NotLanded, UnreadableFile
from etl.landing import Counts, Landing, Manifest, slice_prefix

DAY = date(2026, 11, 2)
PREFIX = slice_prefix("mail", DAY)
CASES = Path(__file__).parent / "cases" / "normalise"
LINKS = yaml.safe_load((CASES / "links.yaml").read_text())
SHARE_LINKS = yaml.safe_load((CASES / "share_links.yaml").read_text())
TEXTS = (
    "event_key source event_type recipient_id certificate_id message_id channel url user_agent bounce_class reject_reason"
    " smtp_code enhanced_code mta_response machine_reason metadata address_hash identity_key link_host link_key link_channel"
)
FLAGS = "is_machine is_suppressed is_opt_out_link"

Normalised = Callable[..., Manifest]


def event(**differing: Any) -> dict[str, Any]:
    """Return an open of SendGrid's with the given differences."""
    return {"event": "open", "email": "ada@example.com", "timestamp": 1793577600, "sg_message_id": "m.f", **differing}


def lines(*events: Any) -> bytes:
    """Return events one per line. A text is a line as it is."""
    return b"".join((one if isinstance(one, str) else json.dumps(one)).encode() + b"\n" for one in events)


def request(query: str, *, moment: str = "10:00:00", address: str = "203.0.113.9", agent: str = "-") -> str:
    """Return a line of nginx's log."""
    return f'{address} - - [02/Nov/2026:{moment} +0000] "GET /px.gif?{query} HTTP/1.1" 200 43 "-" "{agent}"'


@pytest.fixture
def normalised(landing: Landing) -> Normalised:
    """Return a function that lands files of these contents and normalises them."""

    def run(*contents: bytes, form: str = "sendgrid", ending: str = "json", hash_key: str = "k") -> Manifest:
        version = landing.fresh_version()
        raw = [
            landing.store(PREFIX, f"{version}/raw/{number}.{ending}", io.BytesIO(content), f"logs/{number}.{ending}")
            for number, content in enumerate(contents)
        ]
        landing.publish(Manifest(prefix=PREFIX, raw=tuple(raw)))
        source = settings.Source(format=form, files="*")
        return normalise.normalise_slice(landing, settings.Normalise(), "mail", source, DAY, hash_key=hash_key)

    return run


def rows(landing: Landing, path: str | None) -> list[dict[str, Any]]:
    """Return the rows of a landed Parquet file."""
    assert path is not None
    return pa.parquet.read_table(landing.path(PREFIX, path)).to_pylist()


def keys(landing: Landing, manifest: Manifest) -> list[str]:
    """Return the keys of the landed events."""
    return [row["event_key"] for row in rows(landing, manifest.events)]


def test_landed_events_have_the_agreed_columns(normalised: Normalised, landing: Landing) -> None:
    """Names and types are those that the load, and other programs that read the landing, rely on."""
    path = normalised(lines(event(category="a"))).events
    schema = pa.parquet.read_schema(landing.path(PREFIX, str(path)))
    text, flag = pa.string(), pa.bool_()
    others = {"load_date": pa.date32(), "occurred_at": pa.timestamp("us"), "tags": pa.list_(text)}
    columns = dict.fromkeys(TEXTS.split(), text) | dict.fromkeys(FLAGS.split(), flag) | others
    assert {field.name: str(field.type).replace("element", "item") for field in schema} == {
        name: str(kind) for name, kind in columns.items()
    }


def test_an_event_names_its_slice(normalised: Normalised, landing: Landing) -> None:
    """Source and day are the slice's, not the event's."""
    [row] = rows(landing, normalised(lines(event(timestamp=1793491200))).events)
    assert (row["source"], row["load_date"], row["occurred_at"].date()) == ("mail", DAY, date(2026, 11, 1))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_repeat_is_counted_and_the_earliest_kept(normalised: Normalised, landing: Landing, swapped: bool) -> None:
    """A retry changes no figure, in whichever file it comes. At equal times the same event is always kept."""
    files = [
        lines(event(sg_event_id="a", timestamp=1793577602), event(sg_event_id="b", useragent="z")),
        lines(event(sg_event_id="a", timestamp=1793577601), event(sg_event_id="b", useragent="y")),
    ]
    manifest = normalised(*(reversed(files) if swapped else files))
    kept = {row["event_key"]: (row["occurred_at"].second, row["user_agent"]) for row in rows(landing, manifest.events)}
    assert manifest.counts == Counts(raw=4, event=2, duplicate=2)
    assert kept == {"a": (1, None), "b": (0, "y")}


def test_counts_add_up(normalised: Normalised) -> None:
    """Every raw record is an event, a duplicate, a reject, or ignored by name."""
    log = [request("e=view&r=a&n=1"), request("e=view&r=a&n=1"), request("e=x&r=a"), "junk", "", "# note"]
    counts = normalised(lines(*log, request("e=view&r=b").replace("px.gif", "x.gif")), form="nginx_combined").counts
    assert counts == Counts(raw=5, event=1, duplicate=1, reject=2, ignored=1)


def test_rejects_have_file_line_and_reason(normalised: Normalised, landing: Landing) -> None:
    """Every reject has its file, line and reason, a repeated bad line too. Its text stays in the raw files."""
    manifest = normalised(lines(event(), "bad", "", "bad"), lines("# note", event(), event(event=""), "bad"))
    assert rows(landing, manifest.rejects) == [
        {"file": "logs/0.json", "line": 2, "reason": "does not parse"},
        {"file": "logs/0.json", "line": 4, "reason": "does not parse"},
        {"file": "logs/1.json", "line": 3, "reason": "no event among its keys: email, timestamp, sg_message_id"},
        {"file": "logs/1.json", "line": 4, "reason": "does not parse"},
    ]


@pytest.mark.parametrize("ending", ["json", "json.gz"])
def test_documents_may_share_a_line_or_span_lines(normalised: Normalised, landing: Landing, ending: str) -> None:
    """However a file goes on after its first line, each document is one record, and a reject has its own line."""
    first, *others = (event(sg_event_id=key) for key in "abcdef")
    shared, spread = json.dumps(others[0]) + json.dumps(others[1]), json.dumps(others[2], indent=1)
    files = [lines(first, shared, spread, "bad", others[3]), lines("bad", others[4])]
    manifest = normalised(*(gzip.compress(file) if ending.endswith("gz") else file for file in files), ending=ending)
    assert sorted(keys(landing, manifest)) == list("abcdef")
    assert [(row["file"], row["line"]) for row in rows(landing, manifest.rejects)] == [
        (f"logs/0.{ending}", 3 + len(spread.splitlines())), (f"logs/1.{ending}", 1)
    ]  # fmt: skip


def test_a_slice_without_rejects_lands_an_empty_list(normalised: Normalised, landing: Landing) -> None:
    """The file of rejects is there even when there are none."""
    assert rows(landing, normalised(lines(event())).rejects) == []


def test_no_address_and_no_ip_is_landed(normalised: Normalised, landing: Landing) -> None:
    """The landed Parquet holds no address, wherever the payload had one."""
    reason = "of ada@example.com at 198.51.100.8"
    manifest = normalised(
        lines(
            event(event="bounce", reason="550 <ada@example.com> unknown", ip="198.51.100.8"),
            event(
                event="click",
                url="https://x.example/?a=ada%40example.com",
                category=["ada@example.com"],
                ip="198.51.100.8",
            ),
            event(owner="Ada <ada@example.com>", deep={"to": ["ada@example.com"]}, sg_event_id="x"),
            event(event="", reason=reason),
        )
    )
    for path in Path(landing.path(PREFIX, str(manifest.events))).parent.glob("*.parquet"):
        text = json.dumps(pa.parquet.read_table(path).to_pylist(), default=str).encode() + path.read_bytes()
        assert not [secret for secret in (b"ada@", b"ada%40", b"198.51.100.8", b"k1") if secret in text]


def test_an_address_is_landed_as_a_keyed_hash(normalised: Normalised, landing: Landing) -> None:
    """One person has one hash, in upper or lower case. Without the key nobody can test addresses against it."""
    [row] = rows(landing, normalised(lines(event(email="Ada <ADA@example.com>")), hash_key="key").events)
    assert row["address_hash"] == hashlib.sha256(b"keyada@example.com").hexdigest()[:32]


def test_the_same_recipient_has_the_same_identity(normalised: Normalised, landing: Landing) -> None:
    """Events that know the same of their recipient share an identity, and others do not."""
    events = [event(sg_event_id="1"), event(sg_event_id="2"), event(sg_event_id="3", recipient_id="r")]
    one, same, other = (row["identity_key"] for row in rows(landing, normalised(lines(*events)).events))
    assert one == same
    assert one != other


class DyingLanding(Landing):
    """A landing whose process is killed at the last step."""

    def publish(self, manifest: Manifest) -> None:
        """Raise KeyboardInterrupt in place of publishing."""
        raise KeyboardInterrupt(manifest.prefix)


def test_a_killed_run_leaves_the_former_version(normalised: Normalised, landing: Landing, tmp_path: Path) -> None:
    """A version is read whole or not at all."""
    former, dying = normalised(lines(event())), DyingLanding(f"file://{tmp_path / 'landing'}")
    source = settings.Source(format="sendgrid", files="*")
    with pytest.raises(KeyboardInterrupt):
        normalise.normalise_slice(dying, settings.Normalise(), "mail", source, DAY, hash_key="k")
    assert landing.newest(PREFIX) == former
    assert len(rows(landing, former.events)) == 1


def test_a_damaged_file_fails_the_slice_by_its_name(normalised: Normalised, landing: Landing) -> None:
    """A transfer that broke off never counts as a short day."""
    with pytest.raises(UnreadableFile, match=r"logs/0\.json\.gz cannot be read"):
        normalised(gzip.compress(lines(*[event()] * 50))[:-9], ending="json.gz")
    newest = landing.newest(PREFIX)
    assert newest is not None
    assert newest.status == "extracted"


def test_a_slice_that_was_never_landed_is_an_error(landing: Landing) -> None:
    """The error says what to do."""
    with pytest.raises(NotLanded, match="--from-landing"):
        normalise.normalise_slice(
            landing, settings.Normalise(), "mail", settings.Source(format="sendgrid", files="*"), DAY, hash_key="k"
        )


def test_an_empty_day_is_whole(normalised: Normalised) -> None:
    """A day without files, or with empty ones, has zero records of every kind."""
    assert normalised().counts == normalised(b"").counts == Counts()


def test_an_unknown_format_is_named() -> None:
    """A misspelt format is found before the first night."""
    with pytest.raises(ConfigurationError, match=r"sources.mail.format 'sendgird' is unknown"):
        normalise.check_formats({"mail": settings.Source(format="sendgird", files="*")})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            request("e=view&r=a&n=7"),
            request("E=VIEW&r=a&n=7&x=1", moment="11:00:00", address="198.51.100.1", agent="other"),
        ),
        (request("e=share&r=a&n=7&ch=twitter"), request("e=share&r=a&n=7&ch=X")),
        (request("e=view&r=a"), request("e=view&r=a")),
    ],
)
def test_a_request_that_comes_again_is_one_event(normalised: Normalised, one: str, other: str) -> None:
    """A nonce makes one event of a reload, by any sender at any time. Without a nonce requests must be identical."""
    assert normalised(lines(one), lines(other), form="nginx_combined").counts == Counts(raw=2, event=1, duplicate=1)


@pytest.mark.parametrize(
    "other",
    [
        request("e=view&r=a", moment="10:00:01"),
        request("e=view&r=a", address="203.0.113.10"),
        request("e=view&r=a", agent="x"),
        request("e=view&r=b"),
        request("e=view&r=a&n=1"),
    ],
)
def test_another_request_is_another_event(normalised: Normalised, other: str) -> None:
    """Time, address, agent and query distinguish requests without a nonce."""
    assert normalised(lines(request("e=view&r=a"), other), form="nginx_combined").counts.event == 2


def test_an_event_without_an_id_keeps_its_key(normalised: Normalised, landing: Landing) -> None:
    """Records that differ only in how they are written are one event."""
    again = event(email=" ADA@example.com", timestamp="1793577600")
    assert normalised(lines(event(), again, event(timestamp=1793577601))).counts == Counts(raw=3, event=2, duplicate=1)


@pytest.fixture(scope="module")
def link_rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the landed click of every case of links, in order."""
    clicks = [event(event="click", sg_event_id=str(number), url=case["url"]) for number, case in enumerate(LINKS)]
    return landed(Landing(f"file://{tmp_path_factory.mktemp('links')}"), clicks)


def landed(landing: Landing, clicks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events that a slice of such clicks lands."""
    raw = landing.store(PREFIX, "v/raw.json", io.BytesIO(lines(*clicks)), "raw.json")
    landing.publish(Manifest(prefix=PREFIX, raw=(raw,)))
    source = settings.Source(format="sendgrid", files="*")
    manifest = normalise.normalise_slice(landing, settings.Normalise(), "mail", source, DAY, hash_key="k")
    return rows(landing, manifest.events)


@pytest.mark.parametrize("number", range(len(LINKS)), ids=[case["case"] for case in LINKS])
def test_a_link_has_its_host_and_opt_out_flag(link_rows: list[dict[str, Any]], number: int) -> None:
    """A wrapped link counts as the link inside it, and an opt-out link is no interest in the credential."""
    row, case = link_rows[number], LINKS[number]
    assert (row["link_host"], row["is_opt_out_link"]) == (case["host"], case["is_opt_out"])


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the landed link channel of every case of share links, by case."""
    clicks = [
        event(event=case.get("event", "click"), sg_event_id=case["case"], url=case["url"]) for case in SHARE_LINKS
    ]
    landing = Landing(f"file://{tmp_path_factory.mktemp('share_links')}")
    return {row["event_key"]: row["link_channel"] for row in landed(landing, clicks)}


@pytest.mark.parametrize("case", SHARE_LINKS, ids=[case["case"] for case in SHARE_LINKS])
def test_a_share_link_has_its_channel(channels: dict[str, Any], case: dict[str, Any]) -> None:
    """A network's share page is distinguished from its posts, profiles and chats, and from hosts with similar names."""
    assert channels[case["case"]] == case["channel"]


def payloads(form: str) -> list[bytes]:
    """Return the raw payloads of the cases of a format."""
    raw = [case["raw"] for case in yaml.safe_load((CASES / f"{form}.yaml").read_text()) if "raw" in case]
    return [(one if isinstance(one, str) else json.dumps(one, default=str)).encode() for one in raw]


@pytest.mark.parametrize("form", normalise.FORMATS)
def test_slices_normalised_at_once_are_those_normalised_one_by_one(landing: Landing, form: str) -> None:
    """A rebuild normalises many small slices at once: each has the events, rejects and time limit that it has alone."""
    source, contents = settings.Source(format=form, files="*"), payloads(form)
    days = [date(2026, 1, 30), date(2026, 11, 2), date(2026, 11, 3), date(2027, 6, 1), date(2027, 6, 2)]
    for number, day in enumerate(days):
        prefix, version = slice_prefix("mail", day), landing.fresh_version()
        files = [] if number == 3 else [b"\n".join(contents[number % 2 :]), b"junk\n", *contents[: number + 2]]
        raw = [
            landing.store(prefix, f"{version}/raw/{place}", io.BytesIO(content), f"{place}")
            for place, content in enumerate(files)
        ]
        landing.publish(Manifest(prefix=prefix, raw=tuple(raw)))
    options = (landing, settings.Normalise(), "mail", source)
    at_once = normalise.normalise_slices(*options, days, hash_key="k")
    alone = [normalise.normalise_slice(*options, day, hash_key="k") for day in days]
    assert [each.counts for each in at_once] == [each.counts for each in alone]
    assert [content_of(landing, each) for each in at_once] == [content_of(landing, each) for each in alone]
    assert len({str(each.counts) for each in alone}) > 2


def content_of(landing: Landing, manifest: Manifest) -> list[list[str]]:
    """Return the events and the rejects of a version, in an order of their own."""
    found = [landing.path(manifest.prefix, path) for path in (manifest.events, manifest.rejects) if path]
    return [sorted(map(repr, pa.parquet.read_table(path).to_pylist())) for path in found]
