"""Redaction: no form of an address is landed or loaded in any text, and what surrounds one is kept."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from etl import errors, load, normalise, settings, warehouse
from etl.landing import Landing, Manifest, slice_prefix
from etl.normalise.session import connected

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "normalise" / "redaction.yaml").read_text())
FORMS: dict[str, str] = CASES["forms"]
IN_TEXT: dict[str, str] = FORMS | CASES["forms in text only"]
TEXTS: list[str] = list(CASES["surroundings"].values())
LINKS: list[str] = list(CASES["surroundings in links"].values())
DAY = date(2026, 11, 2)
LETTERS = st.text(
    st.characters(categories=("L", "Mn", "Nd", "So"), exclude_characters="\u02b9"), min_size=1, max_size=12
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Yield the DuckDB of the stage, with its macros."""
    with connected(settings.Normalise(), tmp_path_factory.mktemp("session")) as connection:
        yield connection


def redacted(session: duckdb.DuckDBPyConnection, *texts: str) -> list[str]:
    """Return what the stage lands of these texts."""
    return [found for (found,) in session.execute("SELECT redacted(UNNEST(?))", [list(texts)]).fetchall()]


def written(surrounding: str, *addresses: str) -> str:
    """Return a surrounding with these addresses in turn. Angle brackets are part of the replacement."""
    return surrounding.format(*(addresses * 9)).replace("<<address>>", "<address>")


@pytest.mark.parametrize(("form", "surroundings"), [
    *(pytest.param(form, TEXTS, id=name) for name, form in IN_TEXT.items()),
    *(pytest.param(form, LINKS, id=f"{name}, in a link") for name, form in FORMS.items()),
])  # fmt: skip
def test_every_form_is_replaced_alone(session: duckdb.DuckDBPyConnection, form: str, surroundings: list[str]) -> None:
    """Quotes, brackets, keys, separators and words around an address stay."""
    found = redacted(session, *(written(around, form) for around in surroundings))
    assert found == [written(around, "<address>") for around in surroundings]


@effort(deadline=None, max_examples=300)
@given(around=st.sampled_from(TEXTS), forms=st.lists(st.sampled_from(list(IN_TEXT.values())), min_size=1, max_size=9))
def test_several_addresses_of_a_text_are_replaced(
    session: duckdb.DuckDBPyConnection, around: str, forms: list[str]
) -> None:
    """An address of one form does not hide another of a different form beside it."""
    assert redacted(session, written(around, *forms)) == [written(around, "<address>")]


@effort(deadline=None, max_examples=300)
@given(around=st.sampled_from(TEXTS), local=LETTERS, domain=LETTERS)
def test_letters_of_every_script_are_letters(
    session: duckdb.DuckDBPyConnection, around: str, local: str, domain: str
) -> None:
    """Composed or not, as an emoji or in any script: no list of alphabets can be complete."""
    assert redacted(session, written(around, f"{local}@{domain}.example")) == [written(around, "<address>")]


@pytest.mark.parametrize("text", CASES["others"])
def test_a_text_without_an_address_is_landed_as_it_is(session: duckdb.DuckDBPyConnection, text: str) -> None:
    """Codes, widths, percentages, handles and JSON are no addresses."""
    assert redacted(session, text) == [text]


def records(number: int, form: str) -> list[dict[str, Any]]:
    """Return a bounce, a click and a reject of SendGrid's that have an address in each of their texts."""
    common = {"email": "a@b.example", "timestamp": 1793577600 + number, "sg_message_id": f"m{number}"}
    texts = {"note": form, "deep": {"list": [form]}, "category": [form], "useragent": form}
    link = f"https://x.example/?to={form}"
    return [
        common | texts | {"event": "bounce", "sg_event_id": f"b{number}", "reason": f"550 '{form}' is unknown"},
        common | texts | {"event": "click", "sg_event_id": f"c{number}", "url": link},
        common | texts | {"event": "open", "sg_event_id": f"o{number}", "timestamp": f"at {form}"},
    ]


def test_no_form_is_landed_or_loaded(landing: Landing, tmp_path: Path) -> None:
    """The landed events and rejects, and the table failures, hold every text without any address."""
    prefix, raw, stored = slice_prefix("mail", DAY), tmp_path / "raw.json", tmp_path / "warehouse.duckdb"
    raw.write_text("\n".join(json.dumps(one) for form in enumerate(FORMS.values()) for one in records(*form)))
    with raw.open("rb") as content:
        file = landing.store(prefix, "v1/raw/0000", content, origin="raw.json")
    landing.publish(Manifest(prefix=prefix, raw=(file,)))
    source = settings.Source(format="sendgrid", files="", metadata_keys=["note", "deep"])
    manifest = normalise.normalise_slice(landing, settings.Normalise(), "mail", source, DAY, hash_key="k")
    assert (manifest.counts.event, manifest.counts.reject) == (2 * len(FORMS), len(FORMS))
    landing.publish(manifest.model_copy(update={"status": "valid"}))
    table = settings.Warehouse(url=f"duckdb:///{stored}")
    with warehouse.open(table, settings.from_environment, key_fingerprint="k1") as opened:
        load.load_slice(opened, landing, "mail", DAY, replace=False, loaded_at=datetime(2026, 11, 3, 2))
    with duckdb.connect(str(stored)) as connection:
        failures = [reason for (reason,) in connection.sql("SELECT mta_response FROM failures").fetchall()]
    assert failures == ["550 '<address>' is unknown"] * len(FORMS)
    landed = [duckdb.read_parquet(landing.path(prefix, str(part))) for part in (manifest.events, manifest.rejects)]
    values = [str(value) for part in landed for row in part.fetchall() for value in row]
    assert [form for form in FORMS.values() if any(form in value for value in values)] == []
    metadata = {row[0] for row in landed[0].project("metadata").fetchall()}
    assert metadata == {json.dumps({"note": "<address>", "deep": '{"list":["<address>"]}'}, separators=(",", ":"))}


@pytest.mark.parametrize("form", IN_TEXT.values(), ids=IN_TEXT)
def test_a_log_of_our_own_has_no_form(form: str) -> None:
    """The words of servers and drivers, which errors repeat, are without addresses, too."""
    assert form not in errors.redacted(f"550 {form} is unknown")
