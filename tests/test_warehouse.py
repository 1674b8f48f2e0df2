"""Promises of the warehouse: it opens or says why not, and every named SQL runs on every engine."""

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from etl import settings, sql, warehouse
from etl.errors import ConfigurationError, WarehouseError
from etl.landing import Landing
from etl.warehouse import duckdb, postgres
from tests import given

ROOT = Path(__file__).parent.parent
DAY = date(2026, 11, 2)
FILES = sorted(path for folder in ("load", "statistics", "report") for path in (ROOT / "sql" / folder).glob("*.sql"))
BOUND = {
    "mail_logs_begin_at": date(2026, 11, 1), "remind_before_at": date(2026, 11, 28), "since_at": None,
    "remind_before_since_at": None,
    "period_end": date(2026, 12, 1), "issuer_id": None, "certificate_id": None, "only_stale": False, "only_touched": False,
    "credential_hosts": "", "count_share_links": False, "click_after_delivery_seconds": 5, "links_at_once": 3, "links_at_once_seconds": 2,
    "source": "mail", "load_date": DAY, "status": "loaded", "last_error": None, "raw_count": 0,
    "event_count": 0, "reject_count": 0, "ignored_count": 0, "duplicate_count": 0, "loaded_at": None, "version": None,
    "key_fingerprint": "k", "fingerprint": "f", "rules": "{}", "kind": "issuer", "name": "i1",
    "claim_logs_begin_at": date(2026, 11, 1), "boundaries": "2026-11-01 00:00:00,2026-12-01 00:00:00", "period_start": date(2026, 11, 1),
    "most_domains": 5, "peer_days": 7, "peer_recipients": 20, "first_date": DAY, "last_date": DAY,
    "duplicate_rate_maximum": 0.1, "unattributed_rate_maximum": 0.1, "volume_factor": 3.0,
}  # fmt: skip

HOLDER = """
import sqlalchemy, sys, time
connection = sqlalchemy.create_engine(sys.argv[1]).connect()
print("in", flush=True)
time.sleep(float(sys.argv[2]))
"""

Opener = Callable[[], AbstractContextManager[warehouse.Warehouse]]


@pytest.mark.tables
def test_every_file_is_planned_by_every_engine(warehouse_url: str, open_warehouse: Opener, landing: Landing) -> None:
    """The same SQL runs on every warehouse."""
    engine: Any = duckdb if warehouse_url.startswith("duckdb") else postgres
    with open_warehouse() as opened:
        given.bring(opened, landing, {"events": [{"event_type": "sent"}, {"event_type": "sent"}]})
    with engine.connect(make_url(warehouse_url)) as connection:
        for file in Path(landing.root).rglob("*.parquet"):
            name = "landed_events" if file.parent.name == "events" else f"landed_{file.stem}"
            engine.stage_parquet(connection, name, [file], given.columns(name))
        for path in FILES:
            query = sql.compose(path.name.split(".")[0], engine.NAME)
            bound = {name: BOUND[name] for name in query.params}
            assert connection.execute(text("EXPLAIN " + query.text), bound).fetchall()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_says_what_it_is(path: Path) -> None:
    """The head of a file explains its figures, and no comment holds a bind."""
    content = path.read_text()
    comments = "\n".join(re.findall(r"--.*", content))
    assert content.startswith(f"-- {path.stem.split('.')[0]}: ")
    assert "\n-- Grain   " in content
    assert len(content.splitlines()) < 120
    assert not re.search(r":[a-z]", comments)
    assert "SELECT *" not in content


def test_a_new_warehouse_is_empty_and_opens_again(open_warehouse: Opener) -> None:
    """Nothing has to be set up before the first night."""
    for _ in range(2):
        with open_warehouse() as opened:
            assert opened.rows("held_slices", source=None, load_date=None) == []


@pytest.mark.tables
def test_subscriptions_of_release_0_1_get_their_detail(warehouse_url: str, open_warehouse: Opener) -> None:
    """The first run of this release adds the column; nothing has to be rebuilt."""
    with open_warehouse():
        pass
    with create_engine(warehouse_url).begin() as connection:
        connection.execute(text("ALTER TABLE subscriptions DROP COLUMN detail"))
        connection.execute(
            text("INSERT INTO subscriptions VALUES ('s1', 'i1', 'a@b.example', 'daily', 'UTC', 'en', TRUE)")
        )
    for _ in range(2):
        with open_warehouse() as opened:
            assert [row["detail"] for row in opened.rows("listed_subscriptions")] == ["recipients"]


@pytest.mark.tables
def test_a_table_of_another_release_is_refused(warehouse_url: str, open_warehouse: Opener) -> None:
    """A column that the release does not know would be lost in silence. The data engineer is asked to rebuild."""
    with open_warehouse():
        pass
    with create_engine(warehouse_url).begin() as connection:
        connection.execute(text("ALTER TABLE recipients ADD COLUMN shoe_size VARCHAR"))
    with (
        pytest.raises(WarehouseError, match="table recipients was made by another release; empty the warehouse"),
        open_warehouse(),
    ):
        pass


def test_the_memory_of_duckdb_is_limited_by_its_url(tmp_path: Path) -> None:
    """A host that runs other things, too, keeps its memory: DuckDB then spills to a folder beside the warehouse."""
    with duckdb.connect(make_url(f"duckdb:///{tmp_path / 'warehouse.duckdb'}?memory_limit=100MB")) as connection:
        limit = connection.exec_driver_sql("SELECT current_setting('memory_limit')").scalar()
    assert limit == "95.3 MiB"


def test_another_key_is_refused(warehouse_url: str, open_warehouse: Opener, stores: warehouse.Stores) -> None:
    """Addresses hashed with two keys would never match, so the error asks for a rebuild."""
    with open_warehouse():
        pass
    table = settings.Warehouse(url=warehouse_url)
    with (
        pytest.raises(WarehouseError, match="rebuild"),
        warehouse.open(table, str, key_fingerprint="k2", stores=stores),
    ):
        pass


def test_a_file_that_another_process_holds_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two tasks take turns, and the log names the process that holds the file."""
    url = f"duckdb:///{tmp_path / 'warehouse.duckdb'}"
    with holder(url, seconds=1) as held, warehouse.open(settings.Warehouse(url=url), str, key_fingerprint="k"):
        assert f"process {held.pid}" in caplog.text


def test_a_file_that_is_held_for_long_names_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator of a backfill learns which process to end."""
    monkeypatch.setattr(duckdb, "PATIENCE_SECONDS", 0.5)
    url = f"duckdb:///{tmp_path / 'warehouse.duckdb'}"
    with holder(url, seconds=60) as held:
        with pytest.raises(WarehouseError, match=f"process {held.pid} .* still holds the warehouse"):
            warehouse.open(settings.Warehouse(url=url), str, key_fingerprint="k").__enter__()
        held.kill()


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    """The message says what to check, and can be shown to anybody."""
    table = settings.Warehouse(url="postgresql+psycopg://somebody@127.0.0.1:1/nowhere", secret="WAREHOUSE")
    with pytest.raises(WarehouseError, match=r"check warehouse\.url") as raised:
        warehouse.open(table, lambda _: "hush-hush", key_fingerprint="k").__enter__()
    assert "hush-hush" not in str(raised.value)


@pytest.mark.parametrize("url", ["mysql://host/db", "nonsense"])
def test_an_engine_that_is_not_supported_is_a_mistake_in_the_configuration(url: str) -> None:
    """The error lists the supported engines."""
    with pytest.raises(ConfigurationError, match="duckdb, postgresql"):
        warehouse.open(settings.Warehouse(url=url), str, key_fingerprint="k").__enter__()


@pytest.mark.tables
def test_a_refused_statement_is_reported_in_one_line(open_warehouse: Opener) -> None:
    """The error has the cause in the engine's words, and none of the values."""
    with pytest.raises(WarehouseError, match="the warehouse gave up") as raised, open_warehouse() as opened:
        row = {name: BOUND[name] for name in sql.compose("slices", "duckdb").params}
        opened.record_slice({**row, "raw_count": "ada@example.com"})
    assert "\n" not in str(raised.value)
    assert "ada@" not in str(raised.value)


def test_an_id_may_be_of_any_length(opened: warehouse.Warehouse, landing: Landing) -> None:
    """A provider's id is not cut, and one long id does not keep a slice out."""
    event = {"event_type": "sent", "recipient_id": "r" * 9000, "certificate_id": "c" * 9000, "message_id": "m" * 9000}
    given.bring(opened, landing, {"events": [event]})
    assert opened.rows("held_slices", source="mail", load_date=None)[0]["event_count"] == 1


def test_two_writers_of_one_slice_leave_it_once(postgres_url: str, tmp_path: Path) -> None:
    """A backfill and the nightly run may write the same day at once."""

    def bring(number: int) -> None:
        landing = Landing(f"file://{tmp_path / str(number)}")
        rows = [given.event(event, {"event_type": "sent", "load_date": DAY}) for event in range(50)]
        with warehouse.open(settings.Warehouse(url=postgres_url), str, key_fingerprint="k") as opened:
            for _ in range(3):
                given.bring_slice(opened, landing, "mail", DAY, rows)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bring, range(4)))
    with create_engine(postgres_url).connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM events")).scalar() == 50


def test_postgres_expects_the_rows_that_were_just_loaded(postgres_url: str, landing: Landing) -> None:
    """A question about everything is planned for all rows; planned for a few, one over a million events took minutes."""
    rows = [given.event(number, {"event_type": "sent", "recipient_id": f"r{number}"}) for number in range(500)]
    with warehouse.open(settings.Warehouse(url=postgres_url), str, key_fingerprint="k") as opened:
        given.bring_slice(opened, landing, "mail", DAY, rows)
    query = text(f"EXPLAIN (FORMAT json) {sql.compose('asked_identities', postgres.NAME).text}")
    with postgres.connect(make_url(postgres_url)) as connection:
        plan = connection.execute(query, {"source": None, "load_date": None, "only_touched": False}).scalar_one()
    assert plan[0]["Plan"]["Plan Rows"] == 500


def test_queries_see_one_snapshot_until_a_write(postgres_url: str, tmp_path: Path) -> None:
    """The figures of one report agree with one another, whatever is loaded meanwhile."""
    table, landing = settings.Warehouse(url=postgres_url), Landing(f"file://{tmp_path}")
    with warehouse.open(table, str, key_fingerprint="k") as one, warehouse.open(table, str, key_fingerprint="k") as two:
        before = one.rows("held_slices", source=None, load_date=None)
        given.bring_slice(two, landing, "mail", DAY, [given.event(0, {"event_type": "sent"})])
        assert one.rows("held_slices", source=None, load_date=None) == before == []


def test_a_byte_that_an_engine_refuses_does_not_stop_a_night(opened: warehouse.Warehouse, landing: Landing) -> None:
    """A mail server may answer with any bytes."""
    rows = [given.event(0, {"event_type": "bounced", "recipient_id": "r1", "mta_response": "550 \0 no; a:b %s"})]
    given.bring_registry(opened, landing, {"recipients": [{"recipient_id": "r1"}]})
    given.bring_slice(opened, landing, "mail", DAY, rows)
    scope = {name: BOUND[name] for name in sql.compose("listed_recipients", "duckdb").params}
    reason = opened.rows("listed_recipients", **scope | {"source": None, "load_date": None})[0]["bounce_reason"]
    assert reason.replace("\N{REPLACEMENT CHARACTER}", "\0") == "550 \0 no; a:b %s"


def holder(url: str, seconds: int) -> subprocess.Popen[str]:
    """Start another process that holds the file for some seconds, and return it once it does."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, url, str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "in\n"
    return process


def test_postgres_writes_slices_side_by_side(postgres_url: str) -> None:
    """A write of one slice lets those of other slices go on, and keeps out those of the same slice and of everything."""
    with postgres.connect(make_url(postgres_url)) as one, postgres.connect(make_url(postgres_url)) as two:
        two.exec_driver_sql("SET lock_timeout = '200ms'")
        two.commit()
        with postgres.writing(one, "mail 2026-03-02"):
            with postgres.writing(two, "mail 2026-03-03"):
                pass
            for kept_out in ("mail 2026-03-02", None):
                with pytest.raises(DBAPIError, match="lock timeout"), postgres.writing(two, kept_out):
                    pass
                two.rollback()
        with postgres.writing(two, None):
            pass
