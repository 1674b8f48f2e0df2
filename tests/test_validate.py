"""Faulty slices are kept out of the warehouse, and the refusal shows the faulty rows."""

import logging
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import date
from html import escape
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from etl import settings, validate
from etl.errors import NotLanded, RefusedSlice, SliceError
from etl.landing import Counts, LandedFile, Landing, Manifest, slice_prefix
from tests import given

DAY = date(2026, 11, 2)
PREFIX = slice_prefix("mail", DAY)
FAULT = {1: {"event_key": None}}
CASES = yaml.safe_load(Path("tests/cases/validate/slices.yaml").read_text())
VALID = [case for case in CASES if "refused" not in case]
REFUSED = [case for case in CASES if "refused" in case]


def land(landing, case):
    """Land the events and rejects of a case as the stage normalise does."""
    number = case.get("events", 8)
    rows = [given.event(n, {"event_type": "delivered"}) | case.get("rows", {}).get(n, {}) for n in range(number)]
    counts = Counts(**case.get("counts", {"raw": number, "event": number}))
    version = landing.fresh_version()
    rejects = [{"file": "mail.json", "line": line, "reason": "does not parse"} for line in range(counts.reject)]
    with landing.local_folder(landing.path(PREFIX, version)) as folder:
        parquet.write_table(given._events(rows), folder / "events.parquet")
        parquet.write_table(pa.Table.from_pylist(rejects), folder / "rejects.parquet")
    manifest = Manifest(
        prefix=PREFIX, raw=(LandedFile(path=f"{version}/raw", size=0, sha256=""),), events=f"{version}/events.parquet",
        rejects=f"{version}/rejects.parquet", counts=counts, status="normalised",
    )  # fmt: skip
    landing.publish(manifest)
    return manifest


def validated(landing, case):
    """Validate the landed version of a case."""
    return validate.validate_slice(landing, settings.Validation(**case.get("limits", {})), "mail", DAY)


def refusal(landing, case):
    """Return the error of a slice that is refused."""
    land(landing, case)
    with pytest.raises(RefusedSlice) as refused:
        validated(landing, case)
    return refused.value


def page_of(landing):
    """Return the Data Docs page of the newest version."""
    version = landing.newest(PREFIX).events.split("/")[0]
    return landing.read(landing.path(PREFIX, version, validate.PAGE)).decode()


def written_page(landing, case):
    """Validate a case, and return its Data Docs page."""
    land(landing, case)
    with suppress(RefusedSlice):
        validated(landing, case)
    return page_of(landing)


@pytest.fixture
def landing(tmp_path):
    """Return an empty landing in a folder whose name has to be quoted."""
    return Landing(f"file:{tmp_path}/the dean's  landing")


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["case"])
def test_a_sound_slice_is_valid(landing, case):
    """A slice without faults may be loaded."""
    land(landing, case)
    validated(landing, case)
    assert landing.newest(PREFIX).status == "valid"


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["case"])
def test_a_fault_is_named_and_shown(landing, case):
    """A refusal has each fault with its figures. Its queries, pasted into DuckDB, show exactly those rows."""
    words, queries = refusal(landing, case).reason.removeprefix("validation failed: ").split(". See the rows: ")
    assert words == "; ".join(case["refused"])
    shown = [len(duckdb.sql(query).fetchall()) for query in queries.split("; ")]
    assert shown == list(case["refused"].values())[: len(shown)]


def test_a_refusal_keeps_the_loaded_version(landing):
    """A refused version is beside the one that the warehouse holds."""
    former = land(landing, {})
    landing.mark_loaded(former)
    refusal(landing, {"rows": FAULT})
    assert landing.loaded(PREFIX) == former


def test_a_repaired_slice_is_valid(landing):
    """Once the cause is repaired and the day run again, nothing of the refusal is left."""
    refusal(landing, {"rows": FAULT})
    land(landing, {})
    manifest = validated(landing, {})
    assert (manifest.status, manifest.reason) == ("valid", None)
    assert landing.newest(PREFIX) == manifest


@pytest.mark.parametrize(("rows", "heading"), [({}, "mail 2026-11-02: valid"), (FAULT, "mail 2026-11-02: refused")])
def test_the_page_is_kept_and_needs_no_network(landing, rows, heading):
    """Every validation leaves a page beside the events, which opens without a network."""
    page = written_page(landing, {"rows": rows})
    assert page.startswith("<!DOCTYPE html>")
    assert f"<h1>{heading}</h1>" in page
    assert not re.search(r"<script|<link|<img|https?:|url\(", page)


def test_the_page_names_what_failed(landing):
    """The page of a refused slice has the message, the query and the expectation."""
    query = refusal(landing, {"rows": FAULT}).reason.split("See the rows: ")[1]
    page = page_of(landing)
    for text in ("event_key missing: 1 of 8 events", escape(query), "values must never be null", "1 unexpected value"):
        assert text in page


def test_an_event_is_never_run_as_html(landing):
    """Text from a log stays text on the page."""
    page = written_page(landing, {"rows": {1: {"event_type": "<b onload=x>"}}})
    assert "&lt;b onload=x&gt;" in page
    assert "<b onload" not in page


def test_a_slice_without_files_is_valid_at_once(landing):
    """Without files there is nothing to check."""
    landing.publish(Manifest(prefix=PREFIX))
    assert validated(landing, {}).status == "valid"


def test_a_folder_of_parquet_is_one_slice(landing):
    """Every file of a slice is checked, and the query shows the rows of all."""
    rows = [given.event(n, {"event_type": "delivered", "event_key": f"e{n % 4}"}) for n in range(8)]
    landing.publish(given.land_slice(landing, "mail", DAY, rows).model_copy(update={"status": "normalised"}))
    with pytest.raises(RefusedSlice, match="event_key repeated: 8 of 8 events") as refused:
        validated(landing, {})
    assert len(duckdb.sql(refused.value.reason.split("See the rows: ")[1]).fetchall()) == 8


def test_a_landing_on_object_storage_is_validated_too():
    """Object storage gets the page and the result, and the query names the object."""
    elsewhere = Landing("memory://landing")
    error = refusal(elsewhere, {"rows": FAULT})
    assert "FROM read_parquet('memory:///landing/slices/mail/2026-11-02/" in error.reason
    assert elsewhere.newest(PREFIX).status == "normalised"
    assert page_of(elsewhere).startswith("<!DOCTYPE html>")


def test_a_slice_that_was_never_landed_is_an_error(landing):
    """A missing slice is not a valid one."""
    with pytest.raises(NotLanded):
        validated(landing, {})


def test_raw_files_alone_are_not_valid(landing):
    """A slice whose normalising failed is not let through."""
    landing.publish(Manifest(prefix=PREFIX, raw=(LandedFile(path="v/raw", size=0, sha256=""),)))
    with pytest.raises(SliceError, match="not normalised"):
        validated(landing, {})


def test_validating_is_quiet_and_leaves_no_other_file(landing, capfd, caplog, tmp_path, monkeypatch):
    """Only the page and the manifest are written. Nothing is printed or logged."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    caplog.set_level(logging.INFO)
    refusal(landing, {"rows": FAULT})
    assert (capfd.readouterr(), caplog.messages) == (("", ""), [])
    assert [path.name for path in tmp_path.iterdir()] == ["the dean's  landing"]


def test_great_expectations_is_imported_only_to_validate():
    """Importing the stage does not import Great Expectations."""
    code = "import sys, etl.validate; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
