"""Redaction: no form of an address is landed in any text, and what stands around one is kept."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from etl import normalise, settings
from etl.landing import Landing, Manifest, slice_prefix
from etl.normalise.session import connected

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "normalise" / "redaction.yaml").read_text())
FORMS: dict[str, str] = CASES["forms"] | CASES["forms in text only"]
DAY = date(2026, 11, 2)
WORDS = st.lists(st.sampled_from(["550", "unknown", "user,", "(mailbox)", "5.1.1", "über", "no", "#12"]), max_size=4)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Yield the DuckDB of the stage, with its macros."""
    with connected(settings.Normalise(), tmp_path_factory.mktemp("session")) as connection:
        yield connection


def redacted(session: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return what the stage lands of a text."""
    [(found,)] = session.execute("SELECT redacted(?)", [text]).fetchall()
    return str(found)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_replaced_alone(session: duckdb.DuckDBPyConnection, form: str) -> None:
    """Quotes, brackets and words around an address stay; angle brackets are part of the replacement."""
    for before, after in CASES["around"]:
        expected = f"{before}<address>{after}".replace("<<address>>", "<address>")
        assert redacted(session, f"{before}{form}{after}") == expected


@effort(deadline=None, max_examples=300)
@given(before=WORDS, after=WORDS, forms=st.lists(st.sampled_from(list(FORMS.values())), min_size=1, max_size=3))
def test_no_form_is_left_among_any_words(
    session: duckdb.DuckDBPyConnection, before: list[str], after: list[str], forms: list[str]
) -> None:
    """Several addresses in one text are all replaced, and the words between them are kept."""
    shown = [" ".join([*before, address, *after]) for address in ("<address>", *forms)]
    assert redacted(session, " ".join(shown[1:])) == " ".join(shown[:1] * len(forms))


@pytest.mark.parametrize("text", CASES["others"])
def test_a_text_without_an_address_is_landed_as_it_is(session: duckdb.DuckDBPyConnection, text: str) -> None:
    """Codes, widths and percentages are no addresses."""
    assert redacted(session, text) == text


def test_no_form_reaches_the_landed_parquet(tmp_path: Path) -> None:
    """Replies, links, agents, tags, metadata and the texts of rejects are landed without any address."""
    landing = Landing(f"file://{tmp_path}/landing")
    records, in_links = [], CASES["forms"].values()
    for number, form in enumerate(FORMS.values()):
        common = {"email": "a@b.example", "timestamp": 1793577600 + number, "sg_message_id": f"m{number}"}
        records += [
            {
                **common,
                "event": "bounce",
                "sg_event_id": f"b{number}",
                "reason": f"550 {form}",
                "note": form,
                "category": form,
            },
            {
                **common,
                "event": "click",
                "sg_event_id": f"c{number}",
                "url": f"https://x.example/{form if form in in_links else number}",
                "useragent": form,
            },
            {**common, "event": "open", "sg_event_id": f"o{number}", "timestamp": f"at {form}"},
        ]
    raw = tmp_path / "raw.json"
    raw.write_text("\n".join(json.dumps(record) for record in records))
    prefix = slice_prefix("mail", DAY)
    with raw.open("rb") as content:
        file = landing.store(prefix, "v1/raw/0000", content, origin="raw.json")
    landing.publish(Manifest(prefix=prefix, raw=(file,)))
    source = settings.Source(format="sendgrid", files="")
    manifest = normalise.normalise_slice(landing, settings.Normalise(), "mail", source, DAY, hash_key="k")
    assert (manifest.counts.event, manifest.counts.reject) == (2 * len(FORMS), len(FORMS))
    for landed in (manifest.events, manifest.rejects):
        for row in duckdb.read_parquet(landing.path(prefix, str(landed))).fetchall():
            assert "lovelace" not in str(row).lower().replace("\u0301", "")
