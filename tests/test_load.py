"""Promises of the stage load: a slice is replaced whole or not at all, in any order, any number of times."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import date
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from etl import load, sql, statistics
from etl import warehouse as warehouses
from etl.errors import NotLanded, RegistryError, ShrunkenSlice, SliceError
from etl.landing import Counts, Landing, slice_prefix
from etl.warehouse import Warehouse
from tests import given as case_tables

CASES = Path(__file__).parent / "cases" / "load"
DAY = date(2026, 11, 2)
TABLES = (
    "events", "failures", "identities", "slices", "issuers", "certificates", "recipients", "subscriptions",
    "certificate_statistics", "certificate_shares", "figure_rules", "registry_fingerprint",
)  # fmt: skip

Opener = Callable[[], AbstractContextManager[Warehouse]]


def cases(stem: str) -> list[Any]:
    """Return the cases of one file, each under its name."""
    return [pytest.param(case, id=case["case"]) for case in yaml.safe_load((CASES / f"{stem}.yaml").read_text())]


def table(url: str, name: str) -> list[dict[str, Any]]:
    """Return a table's rows in a fixed order, without the time of loading and the folder of the landed version."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]
    engine.dispose()
    return sorted(({key: row[key] for key in row if key not in ("loaded_at", "version")} for row in rows), key=repr)


def content(url: str) -> dict[str, Any]:
    """Return everything in a warehouse except the times of loading."""
    return {name: table(url, name) for name in TABLES}


def events(*recipients: str, day: date = DAY, kind: str = "claimed") -> list[dict[str, Any]]:
    """Return the events of a slice, one for each recipient."""
    row = {"event_type": kind, "load_date": day}
    return [case_tables.event(number, row | {"recipient_id": one}) for number, one in enumerate(recipients)]


@pytest.mark.tables
@pytest.mark.parametrize("case", cases("tables"))
def test_a_landed_slice_fills_three_tables(
    case: Mapping[str, Any], open_warehouse: Opener, warehouse_url: str, landing: Landing
) -> None:
    """Events stay narrow, failures keep the server's words, and identities are counted."""
    with open_warehouse() as opened:
        case_tables.bring(opened, landing, case["given"])
    for name, expect in case["expect"].items():
        found = table(warehouse_url, name)
        assert [{key: row[key] for key in wanted} for row, wanted in zip(found, expect, strict=True)] == expect


@pytest.mark.tables
def test_a_slice_loaded_twice_is_there_once(open_warehouse: Opener, warehouse_url: str, landing: Landing) -> None:
    """Any day can be run again safely."""
    for _ in range(2):
        with open_warehouse() as opened:
            case_tables.bring_slice(opened, landing, "mail", DAY, events("r1", "r2"))
    assert len(table(warehouse_url, "events")) == 2
    assert landing.loaded(slice_prefix("mail", DAY)) == landing.newest(slice_prefix("mail", DAY))


def test_slices_in_any_order_give_the_same_warehouse(tmp_path: Path, postgres_url: str) -> None:
    """A backfill in any order, before or after the registry, on any engine, makes the same tables."""
    days = [date(2026, 11, number) for number in (2, 3, 4)]
    found = []
    for number, order in enumerate([*permutations(days), days]):
        url = postgres_url if number == 6 else f"duckdb:///{tmp_path / str(number)}.duckdb"
        landing = Landing(f"file://{tmp_path / f'landing{number}'}")
        with warehouses.open(warehouses.settings.Warehouse(url=url), str, key_fingerprint="k") as opened:
            for place, day in enumerate(order):
                case_tables.bring_slice(opened, landing, "mail", day, events("r1", f"r{day.day}", day=day))
                if place == number % 3:
                    case_tables.bring_registry(opened, landing, {"recipients": [{"recipient_id": "r1"}]})
            statistics.refresh(opened, case_tables.configuration({}))
        found.append(content(url) | {"figure_rules": "names the queries of the engine"})
    assert all(one == found[0] for one in found)


KILLED = """
import sys, os
from datetime import date
from sqlalchemy import Engine, event
from etl import load, settings, warehouse
from etl.landing import Landing
from tests.given import LOADED_AT
with warehouse.open(settings.Warehouse(url=sys.argv[1]), str, key_fingerprint="k1") as opened:
    def die(connection):
        held = opened.rows("held_slices", source="mail", load_date=None)
        if held[0]["raw_count"] == 3:
            os._exit(9)  # all is written, nothing is committed
    event.listen(Engine, "commit", die)
    load.load_slice(opened, Landing(sys.argv[2]), "mail", date(2026, 11, 2), replace=True, loaded_at=LOADED_AT)
"""


@pytest.mark.tables
def test_a_load_killed_before_its_commit_changes_nothing(
    open_warehouse: Opener, warehouse_url: str, landing: Landing
) -> None:
    """A machine that fails in the middle of a night damages nothing."""
    with open_warehouse() as opened:
        case_tables.bring(opened, landing, {"recipients": [{"recipient_id": "r1"}]})
        case_tables.bring_slice(opened, landing, "mail", DAY, events("r1", "r2"))
    before, loaded = content(warehouse_url), landing.loaded(slice_prefix("mail", DAY))
    case_tables.land_slice(landing, "mail", DAY, events("r7", "r8", "r9"))
    command = [sys.executable, "-c", KILLED, warehouse_url, landing.root]
    killed = subprocess.run(command, cwd=Path(__file__).parent.parent, check=False)
    assert killed.returncode == 9
    assert (content(warehouse_url), landing.loaded(slice_prefix("mail", DAY))) == (before, loaded)


def test_a_slice_under_half_its_size_needs_replace(
    opened: Warehouse, landing: Landing, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken export never replaces a good night by itself, nor in silence."""
    case_tables.bring_slice(opened, landing, "mail", DAY, events("r1", "r2", "r3", "r4"))
    case_tables.bring_slice(opened, landing, "mail", DAY, events("r1", "r2"), replace=False)
    case_tables.land_slice(landing, "mail", DAY, [])
    with pytest.raises(ShrunkenSlice, match=r"0 raw records, under half of the 2 loaded.*--replace"):
        load.load_slice(opened, landing, "mail", DAY, replace=False, loaded_at=case_tables.LOADED_AT)
    load.load_slice(opened, landing, "mail", DAY, replace=True, loaded_at=case_tables.LOADED_AT)
    assert caplog.messages == [
        f"mail {DAY}: 0 {what} replace the 2 loaded, by --replace" for what in ("raw records", "events")
    ]
    assert opened.rows("held_slices", source="mail", load_date=DAY)[0]["status"] == "empty"


def test_a_slice_with_under_half_its_events_needs_replace(opened: Warehouse, landing: Landing) -> None:
    """As many raw records as before are not whole where most of them became ignored, rejects or duplicates."""
    case_tables.bring_slice(opened, landing, "mail", DAY, events("r1", "r2", "r3", "r4"))
    for other in ("ignored", "reject", "duplicate"):
        fewer = case_tables.land_slice(landing, "mail", DAY, events("r1"))
        landing.publish(fewer.model_copy(update={"counts": Counts(raw=4, event=1, **{other: 3})}))
        with pytest.raises(ShrunkenSlice, match=r"1 events, under half of the 4 loaded.*--replace"):
            load.load_slice(opened, landing, "mail", DAY, replace=False, loaded_at=case_tables.LOADED_AT)
    assert (
        load.load_slice(opened, landing, "mail", DAY, replace=True, loaded_at=case_tables.LOADED_AT).counts.event == 1
    )


def test_only_a_valid_version_is_loaded(opened: Warehouse, landing: Landing) -> None:
    """A slice that failed validation, or never came, is in no figure."""
    with pytest.raises(NotLanded, match="mail 2026-11-02: nothing was landed"):
        load.load_slice(opened, landing, "mail", DAY, replace=False, loaded_at=case_tables.LOADED_AT)
    landing.publish(case_tables.land_slice(landing, "mail", DAY, events("r1")).model_copy(update={"status": "refused"}))
    with pytest.raises(SliceError, match="is refused, not valid"):
        load.load_slice(opened, landing, "mail", DAY, replace=False, loaded_at=case_tables.LOADED_AT)
    with pytest.raises(RegistryError, match="pull it first"):
        load.load_registry(opened, landing)


def test_a_failure_is_recorded_and_what_is_loaded_stays(opened: Warehouse, landing: Landing) -> None:
    """A data engineer reads why a night failed, and the former figures are kept."""
    load.record_failure(opened, "mail", DAY, "no file")
    failed = opened.rows("held_slices", source="mail", load_date=DAY)[0]
    case_tables.bring_slice(opened, landing, "mail", DAY, events("r1"))
    load.record_failure(opened, "mail", DAY, "no file again")
    kept = opened.rows("held_slices", source="mail", load_date=DAY)[0]
    assert (failed["status"], failed["last_error"], failed["raw_count"], failed["loaded_at"]) == (
        "failed",
        "no file",
        0,
        None,
    )
    assert (kept["status"], kept["last_error"], kept["raw_count"]) == ("loaded", "no file again", 1)


def test_loading_gives_the_counts_of_the_manifest(opened: Warehouse, landing: Landing) -> None:
    """The load returns what became of every raw record, and the warehouse keeps it."""
    counts = Counts(raw=9, event=2, duplicate=1, reject=2, ignored=4)
    manifest = case_tables.land_slice(landing, "mail", DAY, events("r1", "r2")).model_copy(update={"counts": counts})
    landing.publish(manifest)
    assert (
        load.load_slice(opened, landing, "mail", DAY, replace=False, loaded_at=case_tables.LOADED_AT).counts == counts
    )
    held = opened.rows("held_slices", source="mail", load_date=DAY)[0]
    assert {name: held[f"{name}_count"] for name in counts.model_fields_set} == counts.model_dump()


NAMES = st.sampled_from(["r1", "r2", "r3"])
MESSAGES = st.sampled_from([None, "m1"])
CERTIFICATES = [{"certificate_id": "c1"}, {"certificate_id": "c2"}]
RECIPIENT = {
    "recipient_id": NAMES,
    "certificate_id": st.sampled_from(["c1", "c2"]),
    "message_id": MESSAGES,
    "email": st.sampled_from(["a", "b"]),
}
EVENT = {
    "event_type": st.sampled_from(["delivered", "claimed", "shared"]),
    "recipient_id": st.none() | NAMES,
    "message_id": MESSAGES,
    "certificate_id": st.sampled_from([None, "c1", "c2"]),
    "address": st.sampled_from(["a", "b"]),
    "channel": st.just("x"),
}
REGISTRY = st.lists(st.fixed_dictionaries(RECIPIENT), max_size=3, unique_by=lambda row: row["recipient_id"])
SLICE = st.tuples(st.sampled_from([2, 3]), st.lists(st.fixed_dictionaries(EVENT), max_size=3))

ANN = {"recipient_id": "r1", "certificate_id": "c1", "message_id": "m1", "email": "a"}
BEN = {"recipient_id": "r2", "certificate_id": "c2", "message_id": "m1", "email": "b"}
CLAIM = {"event_type": "claimed", "message_id": "m1"}


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(nights=st.lists(REGISTRY | SLICE, min_size=2, max_size=5))
@example(nights=[[ANN], (2, [CLAIM]), [ANN, BEN]])
@example(nights=[[ANN, BEN], (2, [CLAIM]), [ANN]])
@example(nights=[[ANN], (2, [CLAIM]), (2, [])])
def test_refreshing_what_a_night_touched_equals_computing_all(nights: list[Any], tmp_path_factory: Any) -> None:
    """The stored figures are the catalogue's, whatever slices and registries came, in any order."""
    folder = tmp_path_factory.mktemp("nights")
    landing, configured = Landing(f"file://{folder}"), case_tables.configuration({})
    url = f"duckdb:///{folder}/warehouse.duckdb"
    with warehouses.open(warehouses.settings.Warehouse(url=url), str, key_fingerprint="k") as opened:
        for night in nights:
            bring(opened, landing, night)
            statistics.refresh(opened, configured)
        full = statistics.catalogue(opened, configured, date(2030, 1, 1), "UTC", None, None)
    shares = {
        (row["certificate_id"], row["channel"]): row["recipients_count"] for row in table(url, "certificate_shares")
    }
    stored = sorted(table(url, "certificate_statistics"), key=lambda row: row["certificate_id"])
    assert stored == [{key: row[key] for key in row if key not in ("as_of_date", "shares")} for row in full]
    assert shares == {(row["certificate_id"], name): count for row in full for name, count in row["shares"].items()}


@pytest.mark.tables
def test_stored_figures_follow_a_changed_setting(open_warehouse: Opener, warehouse_url: str, landing: Landing) -> None:
    """The night after the change computes the figures again, though it touched no certificate."""
    click = {"event_type": "clicked", "recipient_id": "r1", "link_host": "a.example"}
    stored = []
    with open_warehouse() as opened:
        case_tables.bring(opened, landing, {"recipients": [{"recipient_id": "r1"}], "events": [click]})
    for hosts in ([], ["b.example"], ["A.example"]):
        with open_warehouse() as opened:
            statistics.refresh(opened, case_tables.configuration({"hosts": hosts}))
        stored += table(warehouse_url, "certificate_statistics")
    assert [row["clicked_count"] for row in stored] == [1, 0, 1]


@pytest.mark.tables
def test_stored_figures_follow_a_changed_query(
    open_warehouse: Opener, warehouse_url: str, landing: Landing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first night of a release that counts otherwise computes all figures again, though no certificate was touched."""
    configured = case_tables.configuration({})
    click = {"event_type": "clicked", "recipient_id": "r1"}
    with open_warehouse() as opened:
        case_tables.bring(opened, landing, {"recipients": [{"recipient_id": "r1"}], "events": [click]})
        statistics.refresh(opened, configured)
    release = shutil.copytree(sql.ROOT, tmp_path / "sql")
    query = release / "statistics" / "metric_catalogue.sql"
    query.write_text(query.read_text().replace("COUNT(recipient_states.clicked_at) AS", "7 AS"))
    monkeypatch.setattr(sql, "compose", partial(sql.compose, root=release))
    with open_warehouse() as opened:
        statistics.refresh(opened, configured)
    [row] = table(warehouse_url, "certificate_statistics")
    assert row["clicked_count"] == 7


def bring(opened: Warehouse, landing: Landing, night: Any) -> None:
    """Load a slice, given as day and events, or a registry, given as recipients."""
    if isinstance(night, list):
        case_tables.bring_registry(opened, landing, {"certificates": CERTIFICATES, "recipients": night})
        return
    day = date(2026, 11, night[0])
    rows = [case_tables.event(number, row | {"load_date": day}) for number, row in enumerate(night[1])]
    case_tables.bring_slice(opened, landing, "mail", day, rows)
