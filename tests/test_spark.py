"""Promises of the warehouse on Spark Connect: equal answers, whole slices, and errors that say what to do."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine

from etl import settings, sql, statistics, warehouse
from etl.errors import WarehouseError
from etl.landing import Landing, slice_prefix
from etl.warehouse import connect, spark
from etl.warehouse.versions import SLICES, Versions
from tests import command, given, spark_servers
from tests import platform_by_hand as platform
from tests.test_warehouse import BOUND, DAY

LOADED = {"event_type": "delivered", "recipient_id": "r1"}
GIVEN: dict[str, Any] = {
    "recipients": [{"recipient_id": name} for name in ("r1", "r2", "r3")],
    "subscriptions": [
        {"subscription_id": "s1", "issuer_id": "i1", "email": "a@b.example", "frequency": "daily", "timezone": "UTC",
         "locale": "en", "is_paused": False},
    ],
    "events": [
        LOADED,
        {"event_type": "opened", "recipient_id": "r1"},
        {"event_type": "clicked", "recipient_id": "r1", "link_key": "12345678", "load_date": date(2026, 11, 3)},
        {"event_type": "bounced", "recipient_id": "r2", "bounce_class": "hard", "mta_response": "550 5.1.1 it's \\ no"},
        {"event_type": "shared", "recipient_id": "r1", "channel": "linkedin"},
        {"event_type": "delivered", "message_id": "nobody's"},
    ],
}  # fmt: skip
QUESTIONS = sorted(
    path.stem
    for folder in ("statistics", "report")
    for path in Path("sql", folder).glob("*.sql")
    if path.stem not in ("held_rules", "held_registry", "held_key")
)

REPORT = ("reports", "--subscription", "s1", "--output", "out")


@contextmanager
def opened(url: str, stores: warehouse.Stores | None = None) -> Iterator[Any]:
    """Open a warehouse."""
    with warehouse.open(settings.Warehouse(url=url), str, key_fingerprint="k1", stores=stores) as one:
        yield one


def answers(one: warehouse.Warehouse, stems: list[str]) -> dict[str, Any]:
    """Return the rows of each question, in a fixed order."""
    found = {}
    for stem in stems:
        scope = {name: BOUND[name] for name in sql.compose(stem, "duckdb").params}
        rows = one.rows(stem, **scope)
        found[stem] = sorted(({key: row[key] for key in row if key != "version"} for row in rows), key=repr)
    return found


def count(stores: warehouse.Stores) -> int:
    """Return how many events the loaded slices have."""
    return sum(row["landed_count"] or 0 for row in Versions(stores.state).slices())


def events(*recipients: str, day: date = DAY) -> list[dict[str, Any]]:
    """Return the events of a slice, one for each recipient."""
    row = {"event_type": "claimed", "load_date": day}
    return [given.event(number, row | {"recipient_id": one}) for number, one in enumerate(recipients)]


def test_every_question_has_the_same_answer(
    sail_url: str, stores: warehouse.Stores, landing: Landing, tmp_path: Path
) -> None:
    """Figures do not depend on the engine, nor do the stored ones."""
    found = []
    for url in (sail_url, f"duckdb:///{tmp_path / 'warehouse.duckdb'}"):
        with opened(url, stores) as one:
            given.bring(one, landing, GIVEN)
            statistics.refresh(one, given.configuration({}))
            found.append(answers(one, QUESTIONS))
    assert found[0] == found[1]


def test_stored_figures_are_those_of_the_catalogue(sail_url: str, stores: warehouse.Stores, landing: Landing) -> None:
    """A tool that reads the stored figures sees what a question would answer, and a changed slice is in them."""
    configured = given.configuration({})
    with opened(sail_url, stores) as one:
        given.bring(one, landing, GIVEN)
        for recipients in (("r1",), ("r1", "r2")):
            given.bring_slice(one, landing, "mail", date(2026, 11, 5), events(*recipients, day=date(2026, 11, 5)))
            for _ in range(2):
                statistics.refresh(one, configured)
            one._show("certificate_statistics", {})
            stored = one._session.table("certificate_statistics").toArrow().to_pylist()
            assert [row["claimed_count"] for row in stored] == [len(recipients)]
            assert stored[0]["name"] == "c1"


def test_a_load_that_ends_before_the_swap_changes_nothing(
    sail_url: str, stores: warehouse.Stores, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night that is killed when all is written but not loaded leaves the former version."""
    with opened(sail_url, stores) as one:
        given.bring_slice(one, landing, "mail", DAY, events("r1", "r2"))
    before = landing.loaded(slice_prefix("mail", DAY))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Versions, "replace_slices", killed)
    with pytest.raises(KeyboardInterrupt), opened(sail_url, stores) as one:
        given.bring_slice(one, landing, "mail", DAY, events("r7", "r8", "r9"))
    with opened(sail_url, stores) as one:
        assert one.rows("attribution", **scope_of("attribution"))[0]["event_count"] == 2
    assert landing.loaded(slice_prefix("mail", DAY)) == before


def test_an_open_warehouse_keeps_to_its_versions(sail_url: str, stores: warehouse.Stores, landing: Landing) -> None:
    """The figures of one report agree with one another; the retention keeps what they read."""
    with opened(sail_url, stores) as one, opened(sail_url, stores) as two:
        given.bring_slice(two, landing, "mail", DAY, events("r1"))
        assert one.rows("held_slices", source=None, load_date=None) == []
        with opened(sail_url, stores) as reader:
            former = landing.loaded(slice_prefix("mail", DAY))
            given.bring_slice(two, landing, "mail", DAY, events("r1", "r2", "r3"))
            assert reader.rows("attribution", **scope_of("attribution"))[0]["event_count"] == 1
        assert former
        assert former.events
        version = landing.path(former.prefix, former.events.split("/")[0])
        assert landing.exists(f"{version}/superseded")


def test_two_writers_of_different_slices_both_end_well(
    sail_url: str, stores: warehouse.Stores, landing: Landing, postgres_url: str
) -> None:
    """Slices run side by side over many hosts, with the state in PostgreSQL."""
    shared = warehouse.Stores(landing, create_engine(postgres_url, poolclass=NullPool))

    def bring(day: int) -> None:
        with opened(sail_url, shared) as one:
            for _ in range(3):
                when = date(2026, 11, day)
                given.bring_slice(one, landing, "mail", when, events("r1", "r2", day=when))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bring, range(1, 5)))
    assert count(shared) == 8


def test_a_version_that_is_gone_is_an_error(sail_url: str, stores: warehouse.Stores, landing: Landing) -> None:
    """Sail reads no rows from a path that is gone. Figures of half the events would be worse than none."""
    with opened(sail_url, stores) as one:
        given.bring_slice(one, landing, "mail", DAY, events("r1", "r2"))
    manifest = landing.loaded(slice_prefix("mail", DAY))
    assert manifest
    landing.remove(landing.path(manifest.prefix, f"{manifest.events}/two.parquet"))
    expected = rf"mail {DAY}: the server reads 1 of 2 landed events"
    with pytest.raises(WarehouseError, match=expected), opened(sail_url, stores) as one:
        one.rows("attribution", **scope_of("attribution"))


def test_a_server_that_is_not_there_is_named_soon_and_without_its_token(stores: warehouse.Stores) -> None:
    """The message says what to check, can be shown to anybody, and comes within the minute."""
    started = time.monotonic()
    url = f"sc://127.0.0.1:{spark_servers.free_port()}"
    table = settings.Warehouse(url=url, secret="WAREHOUSE")
    with pytest.raises(WarehouseError, match=r"check warehouse\.url") as raised:
        warehouse.open(table, lambda _: "hush-hush", key_fingerprint="k", stores=stores).__enter__()
    assert "hush-hush" not in str(raised.value)
    assert time.monotonic() - started < 60


def test_a_server_that_dies_is_reported(stores: warehouse.Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night does not wait for ever for a server that is gone, and says so."""
    monkeypatch.setitem(connect._RETRIES, "max_retries", 2)
    with pytest.raises(WarehouseError, match="the warehouse gave up"), spark_servers.sail() as running:
        url, server = running
        with opened(url, stores) as one:
            spark_servers.end(server)
            one.rows("held_slices", source=None, load_date=None)


def test_a_secret_is_the_token_of_the_url() -> None:
    """Connect takes a bearer token as an option of its URL."""
    assert connect.with_token("sc://host:15002", None) == "sc://host:15002"
    assert connect.with_token("sc://host:15002", "a=b;c") == "sc://host:15002/;token=a%3Db%3Bc"
    assert connect.with_token("sc://host/;use_ssl=true", "t") == "sc://host/;use_ssl=true;token=t"
    assert spark._tokens("sc://host/;token=a%3Db") == ["a%3Db", "a=b"]


def test_the_rows_of_slices_are_those_of_the_schema() -> None:
    """A column of ``slices`` is there on every engine."""
    own = {"events_path", "landed_count"}
    assert {column.name for column in SLICES.columns} - own == sql.columns("slices").keys()


def test_what_the_server_wrote_for_a_session_goes_with_it(
    sail_url: str, stores: warehouse.Stores, landing: Landing
) -> None:
    """The steps of a question are written to the landing, each once for a scope, and nothing of them stays."""
    scope = {name: BOUND[name] for name in sql.compose("totals", "spark").params}
    with opened(sail_url, stores) as one:
        given.bring(one, landing, GIVEN)
        one.rows("totals", **scope)
        written = set(one._written)
        one.rows("certificate_figures", **scope)
        assert {step.split()[0] for step in written} >= {"recipient_states", "certificate_figures"}
        assert set(one._written) == written
        assert landing.exists(landing.path("answers"))
    assert not any(path.startswith("answers/") for path, _ in landing.files())


def test_a_night_and_a_report_by_the_command_line_are_those_of_duckdb(sail_url: str, tmp_path: Path) -> None:
    """Another URL is all that a user changes."""
    found = []
    for number, variables in enumerate(({"ANALYTICS_WAREHOUSE__URL": sail_url}, {})):
        configuration = platform.write(tmp_path / str(number))
        one, two = map(str, platform.DAYS)
        for arguments in (("nightly", "--day", one, "--to", two), (*REPORT, "--period", two)):
            ran = command.run(configuration, *arguments, **{"HASH_KEY": platform.KEY, **variables})
            assert (ran.code, "Traceback" in ran.err) == (0, False), ran.err
        landed = configuration.parent / "landing" / "reports"
        found.append({path.relative_to(landed): without_times(path) for path in landed.rglob("figures.json")})
    assert len(found[0]) == 1
    assert found[0] == found[1]
    assert not (configuration.parent.with_name("0") / "warehouse.duckdb").exists()


def without_times(path: Path) -> Any:
    """Return a report's figures to 12 digits, without the time of the last load."""
    timed = "last_loaded_at"
    return json.loads(
        path.read_text(),
        object_hook=lambda row: {name: row[name] for name in row if name != timed},
        parse_float=lambda digits: f"{float(digits):.12g}",
    )


def scope_of(stem: str) -> dict[str, Any]:
    """Return the parameters of a question about everything."""
    bounds = warehouse.EVERYTHING | {"first_date": None, "last_date": None}
    return {name: bounds[name] for name in sql.compose(stem, "duckdb").params}
