"""The time for text from outside grows with its length and not with its square, in every loop and pattern that reads it."""

import json
import time
from collections.abc import Callable
from datetime import date
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from etl import normalise, settings
from etl.errors import redacted
from etl.normalise import documents, spreadsheets
from etl.normalise.session import connected

MEGABYTE = 1 << 20
ATTEMPT = 1 << 13  # a text on which even the worst growth ends, and is seen: 8,000 letters took crawlerdetect 6 seconds
NOISE = 0.5  # CPU seconds that may come from anything else


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of all threads that some work takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def require_even_growth(made: Callable[[int], Any], read: Callable[[Any], object]) -> None:
    """Read what is made of 1, 2 and 4 MB, and require that twice the text takes less than three times the time.

    What else the machine does can only add to a time. So a time that is too long is measured again, and the least
    counts.
    """
    assert seconds(lambda: read(made(ATTEMPT))) < 4  # much more than the start of a DuckDB
    texts = [made(size * MEGABYTE) for size in (1, 2, 4)]
    taken = [seconds(lambda text=text: read(text)) for text in texts]
    for _ in range(4):
        if grows_evenly(taken):
            break
        taken = [min(before, seconds(lambda text=text: read(text))) for before, text in zip(taken, texts, strict=True)]
    assert grows_evenly(taken), taken


def grows_evenly(taken: list[float]) -> bool:
    """Tell whether each of the times is less than three times the one before it."""
    return all(more <= 3 * less + NOISE for less, more in pairwise(taken))


def repeated(unit: str, size: int) -> str:
    """Return a text of that size: a unit again and again."""
    return (unit * (size // len(unit) + 1))[:size]


# -- the JSON splitter ------------------------------------------------------------------------------------------------

WORD = "x" * 200
DAMAGE = {
    "objects that never end": f'{{"{WORD}":',
    "objects cut in a string": f'{{"a":"{WORD}',
    "objects cut in a string on its line": f'{{"a":"{WORD}\n',
    "pages that never end": f'{{"items":[{{"b":"{WORD}"}},',
    "arrays that never end": f'[{{"b":"{WORD}"}},',
    "elements of no array": f'{WORD}"}}],',
    "commas between documents": f'{{"b":"{WORD}"}},',
    "objects over lines that never end": f'{{\n"{WORD}":\n',
    "spaces in brackets": f"{{{' ' * 200}[{' ' * 200}",
    "commas before closing brackets": f"{',' * 30}]{' ' * 200}}}",
    "comment lines": f"#{WORD}\n",
    "escaped quotes": f'{{"\\"{WORD}',
    "one string": WORD,
    "carriage returns": f"{WORD}\r\r\n",
}


@pytest.mark.parametrize("unit", DAMAGE.values(), ids=DAMAGE)
def test_damaged_json_is_taken_apart_in_even_time(tmp_path: Path, unit: str) -> None:
    """Whatever the damage, what was found not to parse is not parsed again."""
    raw, scratch = tmp_path / "day.json", tmp_path / "scratch"
    scratch.mkdir()

    def read(text: str) -> None:
        raw.write_text(text)
        documents.untangled(documents.clean(raw, "json", scratch), scratch)

    require_even_growth(lambda size: '{"a":1}\n' + repeated(unit, size), read)


# -- macros -----------------------------------------------------------------------------------------------------------

UNITS = (
    "a", "@", "a@", "a@[", "a@b.", "<a@b", "<a@b>,", "%40", "%2525", "%zz", "%41", "\\x41", "\\n", "\\u0000", "\\ud83d", " ", "\t", "https://",
    "&url=", "?", "&k=v", "/v3/__", "/https%3A", ".", "-", "+", "[", '"', '{"a":', "5.", "550 ", "1", "\u00e4", "'a@b.example' ",
)  # fmt: skip
BEGINNINGS = (
    "", "https://", "https://a.safelinks.protection.outlook.com/?", "https://urldefense.com/v3/__", "https://urldefense.proofpoint.com/v2/url?u=",
    "https://secure-web.cisco.com/", "https://l.facebook.com/l.php?", "https://linkedin.com/feed/?", "https://wa.me/?", "mailto:?", "smtp;",
)  # fmt: skip
MACROS = {
    "address": "address(word)",
    "redacted": "redacted(word)",
    "host": "host(word)",
    "is_opt_out": "is_opt_out(word)",
    "unwrapped": "unwrapped(word)",
    "link_channel": "link_channel(word)",
    "log_text": "log_text(word)",
    "percent_decoded": "percent_decoded(word)",
    "query_value": "query_value(word, 'url')",
    "storable": "storable(word)",
    "tag_list": "tag_list(word)",
    "bare_id": "bare_id(word)",
    "form_fields": "form_fields(word)",
    "first_fields": "first_fields(form_fields(word))",
    "reply": "reply(word)",
    "iso_time": "iso_time(word)",
    "enhanced_code": "enhanced_code(word, word)",
    "object_text": "object_text(word)",
}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Open the stage's DuckDB with its macros."""
    with connected(settings.Normalise(), tmp_path_factory.mktemp("scratch")) as opened:
        yield opened


@pytest.mark.parametrize("call", MACROS.values(), ids=MACROS)
def test_a_macro_takes_even_time(connection: duckdb.DuckDBPyConnection, call: str) -> None:
    """Whatever one word of a log holds, and however long it is."""

    def words(size: int) -> pa.Table:
        begun = [*(("", unit) for unit in UNITS), *zip(cycle(BEGINNINGS), UNITS, strict=False)]
        return pa.table({"word": [begin + repeated(unit, size // len(begun)) for begin, unit in begun]})

    require_even_growth(words, lambda table: connection.from_arrow(table).aggregate(f"SUM(HASH({call}))").fetchall())


# -- whole files ------------------------------------------------------------------------------------------------------

EVENT = {"event": "open", "email": "a@b.example", "timestamp": 1793577600, "sg_message_id": "m1.f"}
MAIL = {"timestamp": "2026-11-02T10:00:00Z", "messageId": "m1"}
REQUEST = '203.0.113.9 - - [02/Nov/2026:10:00:00 +0000] "GET /px.gif?e=open&r=r1{} HTTP/1.1" 200 43 "-" "{}"\n'


def numbered(written: str, size: int) -> list[Any]:
    """Return as many different JSON values of one form as the size has room for."""
    return [json.loads(written.replace("#", str(number))) for number in range(size // (len(written) + 5))]


FILES: dict[str, tuple[str, Callable[[int], str]]] = {
    "an array of what is no event": ("sendgrid", lambda size: json.dumps(numbered(f'"{WORD * 4}#"', size))),
    "a line of damage between events": (
        "sendgrid",
        lambda size: repeated(f"{json.dumps(EVENT)}\n{WORD * 20}}}\n", size),
    ),
    "one custom argument many times": (
        "sendgrid",
        lambda size: "{" + '"key":"value of some length",' * (size // 30) + json.dumps(EVENT)[1:],
    ),
    "many recipients without a time": (
        "ses",
        lambda size: json.dumps(
            {
                "eventType": "Send",
                "mail": {"messageId": "m1", "destination": numbered(f'"a#@{WORD * 2}.example"', size)},
            }
        ),
    ),
    "a form of many fields": ("mailgun", lambda size: repeated(f"event=opened&k={WORD}&", size)),
    "a request of percent codes": ("nginx_combined", lambda size: REQUEST.format(repeated(f"%41{WORD}", size), "-")),
    "many headers": ("cloudfront", lambda size: repeated(f"#Fields: date time {WORD * 5}\na b c\n", size)),
}


def explained(form: str, path: Path, text: str) -> int:
    """Return the number of a file's events and rejects, all of them read."""
    path.write_text(text)
    with normalise.explain([path], settings.Source(format=form, files="*"), today=date(2026, 11, 23)) as found:
        return sum(1 for _ in found.events) + sum(1 for _ in found.rejects)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_normalised_in_even_time(tmp_path: Path, name: str) -> None:
    """However many records, keys, recipients or fields stand on one line."""
    form, made = FILES[name]
    require_even_growth(made, lambda text: explained(form, tmp_path / "day.log", text))


@pytest.mark.parametrize("unit", ["a", "Mozilla/5.0 "])
def test_a_user_agent_is_judged_in_even_time(tmp_path: Path, unit: str) -> None:
    """Anybody can ask for the public pixel with an agent of any length."""
    require_even_growth(
        lambda size: REQUEST.format("", repeated(unit, size)),
        lambda text: explained("nginx_combined", tmp_path / "day.log", text),
    )


# -- the registry, and what others say --------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ['b","', '"', 'a,"x', '"""', '"""' + WORD, f'{WORD}","{WORD}', '"a\n""'])
def test_quotes_that_are_never_closed_cost_even_time(tmp_path: Path, line: str) -> None:
    """Each line of a registry may take in the lines after it."""
    path, padded = tmp_path / "issuers.csv", f"{line}\n{WORD}\n"

    def read(text: str) -> int:
        path.write_text(text)
        with spreadsheets.opened(path, ["a", "b"]) as table:
            return sum(1 for _ in table.records)

    require_even_growth(lambda size: "a,b\n" + repeated(padded, size), read)


@pytest.mark.parametrize("unit", ["a", "@", "a@", '"', '"a@', "<", "c2VjcmV0", "secre", "%40", " "])
def test_secrets_are_taken_out_of_a_text_in_even_time(unit: str) -> None:
    """A server decides how long its answer is."""
    require_even_growth(lambda size: repeated(unit, size), lambda text: redacted(text, "secret word", "a@b.example"))
