"""Cases for every format, and the promises of the stage normalise for a whole slice."""

import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from etl import normalise, settings

CASES = Path(__file__).parent / "cases" / "normalise"
TODAY = date(2026, 11, 23)


class Loader(yaml.SafeLoader):
    """A loader of YAML that leaves times as text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Result(NamedTuple):
    """The result of one file: its events, and its rejects as (line, reason, raw)."""

    events: list[dict[str, Any]]
    rejects: list[dict[str, Any]]


def read(stem: str) -> Any:
    """Return the content of a case file."""
    return yaml.load((CASES / f"{stem}.yaml").read_text(), Loader)


VOCABULARY: dict[str, dict[str, str]] = read("vocabulary")


@cache
def cases(form: str) -> list[Any]:
    """Return the cases of a format, and check that each has a different name."""
    found: list[Any] = read(form) if (CASES / f"{form}.yaml").exists() else []
    names = [case["case"] for case in found]
    assert len(names) == len(set(names)), f"{form} has two cases of one name"
    return found


def every_case() -> list[Any]:
    """Return all cases of all formats as parameters."""
    return [
        pytest.param(form, number, id=f"{form}: {case['case']}")
        for form in normalise.FORMATS
        for number, case in enumerate(cases(form))
    ]


def content(raw: Any) -> bytes:
    """Return the bytes of a case's file: a text unchanged, anything else as JSON on one line."""
    if isinstance(raw, bytes):
        return raw
    return (raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)).encode()


def source(form: str, **differing: Any) -> settings.Source:
    """Return a source of that format."""
    return settings.Source(format=form, files="*", **differing)


@cache
def results(form: str) -> tuple[dict[int, Result], int]:
    """Return the result of each case of a format, and the number of ignored records of all.

    Cases with the same source settings share a run of the stage, with one file each.
    """
    runs, found, ignored = defaultdict(list), {}, 0
    for number, case in enumerate(cases(form)):
        runs[json.dumps(case.get("source", {}), sort_keys=True)].append(number)
    for differing, numbers in runs.items():
        with tempfile.TemporaryDirectory() as folder:
            files = {Path(folder, f"{number}.log"): number for number in numbers}
            for path, number in files.items():
                path.write_bytes(content(cases(form)[number]["raw"]))
            with normalise.explain(list(files), source(form, **json.loads(differing)), today=TODAY) as explained:
                found |= {number: Result([], []) for number in numbers}
                for file, event in explained.events:
                    found[files[Path(file)]].events.append(json.loads(event))
                for file, line, reason, raw in explained.rejects:
                    found[files[Path(file)]].rejects.append({"line": line, "reason": reason, "raw": raw})
                ignored += explained.counts.ignored
    return found, ignored


def selected(rows: list[dict[str, Any]], wanted: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, with only the columns that the case names."""
    columns = [*wanted, *[{}] * len(rows)]
    return [{name: row[name] for name in wish} if wish else row for row, wish in zip(rows, columns, strict=False)]


def wanted_events(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the events that a case expects."""
    return case["events"] if "events" in case else [case["event"]] if "event" in case else []


@pytest.mark.parametrize(("form", "number"), every_case())
def test_a_record_becomes_what_its_case_says(form: str, number: int) -> None:
    """Every record becomes the events and rejects that the specification names, and nothing else."""
    case, found = cases(form)[number], results(form)[0][number]
    assert selected(found.events, wanted_events(case)) == wanted_events(case)
    assert selected(found.rejects, case.get("rejects", [])) == case.get("rejects", [])


@pytest.mark.parametrize("form", normalise.FORMATS)
def test_only_what_a_case_names_is_ignored(form: str) -> None:
    """No record is skipped silently."""
    assert results(form)[1] == sum(case.get("ignored", 0) for case in cases(form))


def test_a_file_that_is_named_twice_is_read_twice(tmp_path: Path) -> None:
    """Each name of a file gives the file's events."""
    (tmp_path / "one.json").write_bytes(content(cases("sendgrid")[0]["raw"]))
    with normalise.explain([tmp_path / "one.json"] * 2, source("sendgrid"), today=TODAY) as explained:
        events = list(explained.events)
    assert len(events) == 2 * len(set(events))


@pytest.mark.parametrize(
    ("form", "name"), [(form, name) for form in VOCABULARY if form in normalise.FORMATS for name in VOCABULARY[form]]
)
def test_every_name_of_a_provider_has_its_type(form: str, name: str) -> None:
    """Each event name of each provider is mapped to a type, and a case tests it."""
    types = {
        "ignored" if case.get("ignored") else event.get("event_type")
        for case in cases(form)
        if case.get("says") == name
        for event in wanted_events(case) or [{}]
    }
    assert types == {VOCABULARY[form][name]}


@pytest.mark.parametrize(("form", "kind"), normalise.FORMATS.items())
def test_every_format_has_cases(form: str, kind: normalise.Format) -> None:
    """Every format has cases, and every provider's format has a vocabulary."""
    assert cases(form)
    assert kind.is_pixel or form in VOCABULARY


LONG_AGENTS = {"Googlebot/2.1 " + "a" * 8000: "crawler_ua", "a" * 8000: None, "a" * 512 + " Googlebot/2.1": None}
AGENTS_IN = {
    "sendgrid": '{{"event": "open", "email": "a@b.example", "timestamp": 1793577600, "useragent": "{}"}}',
    "ses": '{{"eventType": "Open", "mail": {{"messageId": "m", "destination": ["a@b.example"]}},'
    ' "open": {{"timestamp": "2026-11-02T10:00:00Z", "userAgent": "{}"}}}}',
    "nginx_combined": '1.2.3.4 - - [02/Nov/2026:10:00:00 +0000] "GET /px.gif?e=opened&r=r1 HTTP/1.1" 200 43 "-" "{}"',
    "nginx_json": '{{"time_iso8601": "2026-11-02T10:00:00+00:00", "request": "GET /px.gif?e=opened&r=r1 HTTP/1.1",'
    ' "status": "200", "http_user_agent": "{}"}}',
}


@pytest.mark.parametrize("form", AGENTS_IN)
def test_an_agent_is_judged_by_its_first_512_characters(form: str, tmp_path: Path) -> None:
    """The list of crawlers has a pattern whose time grows with the square of a word. The agent itself is kept whole."""
    paths = [tmp_path / str(number) for number in range(len(LONG_AGENTS))]
    for path, agent in zip(paths, LONG_AGENTS, strict=True):
        path.write_text(AGENTS_IN[form].format(agent))
    begun = time.process_time()
    with normalise.explain(paths, source(form), today=TODAY) as explained:
        events = [json.loads(event) for _, event in explained.events]
    assert {event["user_agent"]: event["machine_reason"] for event in events} == LONG_AGENTS
    assert time.process_time() - begun < 4


# -- damaged bytes ----------------------------------------------------------------------------------------------------

TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null|[A-Za-z_/.%-]+')
HOSTILE = [
    b"", b"null", b"true", b"-1", b"0.5", b"1e400", b"99999999999999999999", b"123456789012345", b"1793577600.1234567", b"[]", b"{}", b"[[1]]",
    b'{"a":{"b":[1,null]},"a":2}', b'""', b'"-"', b'"a@b.example"', b'"<a@b"', b'"\\u0000"', b'"\\ud83d"', b'"[1, 2]"', b'"{\\"a\\":"', b'"%zz%00%ff"', b'"\\n@"',
    b'"2026-11-02T10:00:00+99:99"', b'"2026-13-45 10:00"', b'"0001-01-01T00:00:00Z"', b'"9999-12-31T23:59:59.9999999Z"', b"\x00", b"\xff", b"\r", b'"', b"\\x", b"\\", b"\t",
]  # fmt: skip


def damaged(rng: Random, good: list[bytes]) -> bytes:
    """Return a good file in which one word, or any stretch of bytes, is replaced by something else."""
    text = rng.choice(good)
    words = [match.span() for match in TOKEN.finditer(text)]
    start, end = rng.choice(words) if words and rng.random() < 0.8 else sorted(rng.choices(range(len(text) + 1), k=2))
    return text[:start] + rng.choice([*HOSTILE, rng.randbytes(5)]) + text[end:]


@pytest.mark.parametrize("form", normalise.FORMATS)
@effort(max_examples=2, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=1))
def test_any_bytes_become_events_and_rejects_that_add_up(
    form: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No input is lost silently, and the same bytes become the same events."""
    rng, good = Random(seed), [content(case["raw"]) for case in cases(form)]
    files = [damaged(rng, good) for _ in range(80)] + [rng.randbytes(rng.randrange(60)) for _ in range(10)]
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{number}.{copy}" for number in range(len(files)) for copy in "ab"]
    for path in paths:
        path.write_bytes(files[int(path.stem)])
    with normalise.explain(paths, source(form), today=TODAY) as explained:
        events, rejects, counts = list(explained.events), list(explained.rejects), explained.counts
    assert counts.raw == len(events) + len(rejects) + counts.ignored
    assert of_copy("a", events) == of_copy("b", events)
    assert of_copy("a", rejects) == of_copy("b", rejects)


# -- classes and codes ------------------------------------------------------------------------------------------------

CODE = re.compile(rb"(?<![\w.])(?:[245]\d\d|[245]\.\d{1,3}\.\d{1,3})(?![\w.])")
CODES = (
    [b"250", b"421", b"452", b"499", b"550", b"554"],
    [b"2.0.0", b"4.2.2", b"4.7.0", b"5.0.0", b"5.1.1", b"5.1.10", b"5.2.2", b"5.7.1"],
)


def recoded(rng: Random, text: bytes) -> bytes:
    """Return a file in which every reply code is replaced by another one of its kind."""
    return CODE.sub(lambda found: rng.choice(CODES[b"." in found[0]]), text)


@pytest.mark.parametrize("form", [form for form, kind in normalise.FORMATS.items() if not kind.is_pixel])
def test_a_class_never_contradicts_the_codes_beside_it(form: str, tmp_path: Path) -> None:
    """Whatever codes a record has: beside 4xx or 4.x.x no bounce is hard, beside 5.1.x none is soft, and a deferral is soft."""
    rng, paths = Random(form), []
    bounces = [
        content(case["raw"])
        for number, case in enumerate(cases(form))
        if any(event["bounce_class"] for event in results(form)[0][number].events)
    ]
    for number, text in enumerate(bounces * 5):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_bytes(recoded(rng, text))
    with normalise.explain(paths, source(form), today=TODAY) as explained:
        events = [json.loads(event) for _, event in explained.events]
    assert len({event["bounce_class"] for event in events}) > 1
    assert [event for event in events if contradicts_itself(event)] == []


def contradicts_itself(event: Mapping[str, Any]) -> bool:
    """Tell whether the class of an event is at odds with its codes or its type."""
    smtp_code, enhanced_code = event["smtp_code"] or "", event["enhanced_code"] or ""
    return (
        (event["bounce_class"] == "hard" and (smtp_code.startswith("4") or enhanced_code.startswith("4.")))
        or (event["bounce_class"] == "soft" and enhanced_code.startswith("5.1."))
        or (event["event_type"] == "deferred" and event["bounce_class"] != "soft")
    )


# -- keys named twice -------------------------------------------------------------------------------------------------


def doubled(value: Any) -> str:
    """Return JSON in which every object has each of its keys a second time, with another value."""
    if isinstance(value, list):
        return f"[{','.join(map(doubled, value))}]"
    if not isinstance(value, dict):
        return json.dumps(value)
    entries = [f"{json.dumps(key)}:{doubled(inner)}" for key, inner in value.items()]
    return "{" + ",".join(entries + [f"{json.dumps(key)}:[7]" for key in value]) + "}"


@pytest.mark.parametrize("form", [form for form, kind in normalise.FORMATS.items() if kind.layout.startswith("json")])
def test_a_key_named_twice_spoils_nothing(form: str, tmp_path: Path) -> None:
    """JSON allows a key twice: the first counts, at every depth."""
    records = [case["raw"] for case in cases(form) if not isinstance(case["raw"], str | bytes)]
    for copy, write in {"a": json.dumps, "b": doubled}.items():
        for number, record in enumerate(records):
            (tmp_path / f"{number}.{copy}").write_text(write(record))
    with normalise.explain(sorted(tmp_path.iterdir()), source(form), today=TODAY) as explained:
        kept_text = re.compile(r',\\"\w+\\":\[7\]')  # an object within metadata is text, and stays as it is
        events = [(file, json.loads(kept_text.sub("", event))) for file, event in explained.events]
    assert of_copy("b", events) == of_copy("a", events) != []


def of_copy(copy: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows of one of the two copies of each file."""
    return [(Path(row[0]).stem, *row[1:]) for row in rows if row[0].endswith(copy)]
