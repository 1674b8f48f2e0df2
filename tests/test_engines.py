"""A month of the demo has one answer on every engine: its tables, each question, and the figures of a report."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from demo.__main__ import FIRST_DAY, NIGHTS, configure
from demo.platform import simulate
from etl import pipeline, sql, warehouse
from etl.warehouse import spark
from tests import command, spark_servers
from tests import platform_by_hand as platform
from tests.test_spark import QUESTIONS, without_times
from tests.test_spark_cluster import ASKED
from tests.test_warehouse import BOUND

OWN = {"privacy", "figure_rules", "registry_fingerprint", "stale_certificates", "touched_identities"}
"""The tables that an engine keeps for itself."""

TABLES = sorted(sql.tables() - OWN)
SCOPES = ({"issuer_id": None}, {"issuer_id": "harbour-academy"})
MONTH = {
    "period_end": datetime(2026, 11, 1), "period_start": datetime(2026, 10, 1), "credential_hosts": "|credentials.example|",
    "boundaries": "2026-10-01 00:00:00,2026-11-01 00:00:00", "mail_logs_begin_at": datetime(2026, 10, 5),
    "claim_logs_begin_at": datetime(2026, 10, 5), "remind_before_at": datetime(2026, 10, 25), "source": None,
    "load_date": None, "first_date": None, "last_date": None, "since_at": datetime(2026, 10, 20),
    "remind_before_since_at": datetime(2026, 10, 15), "kind": "issuer", "name": "harbour-academy",
}  # fmt: skip

KEY = {"ANALYTICS_PRIVACY__SECRET": "HASH_KEY", "HASH_KEY": platform.KEY}
"""All engines have one key of addresses, as those of an installation do."""

Content = dict[str, Any]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the configuration of the demo, whose nights were brought to DuckDB."""
    home = tmp_path_factory.mktemp("demo")
    simulation = simulate(home / "platform", first_day=FIRST_DAY, nights=NIGHTS)
    configure(home, simulation)
    days = ("--day", str(FIRST_DAY), "--to", str(simulation.last_day))
    ran = command.run(home / "analytics.toml", "nightly", *days, **KEY)
    assert ran.code == 0, ran.err
    return home / "analytics.toml"


@pytest.fixture(scope="module")
def wanted(month: Path) -> Content:
    """Return what DuckDB holds and answers."""
    return content(month, KEY, QUESTIONS)


@pytest.fixture
def filled(month: Path, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Return a function that rebuilds an empty warehouse from the landing, and returns the variables that name it."""

    def fill(url: str) -> dict[str, str]:
        engine = {**KEY, "ANALYTICS_WAREHOUSE__URL": url, "ANALYTICS_STATE__URL": f"sqlite:///{tmp_path}/state.db"}
        ran = command.run(month, "rebuild", **engine)
        assert (ran.code, ran.err.splitlines()[-1]) == (
            0,
            f"rebuild: {2 * NIGHTS} slices loaded, 0 were loaded already, 0 failed",
        )
        return engine

    return fill


def content(
    configuration: Path, engine: dict[str, str], questions: list[str], scopes: Sequence[dict[str, Any]] = SCOPES
) -> Content:
    """Return the rows of all tables, and the answers to questions about all issuers and about one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"ANALYTICS_CONFIG": str(configuration), **engine}.items():
            patch.setenv(name, value)
        context = pipeline.open_context(engine.get)
        with context.warehouse() as opened:
            tables = {table: ordered(held(opened, table)) for table in TABLES}
            asked = {
                (stem, scope["issuer_id"]): ordered(
                    opened.rows(stem, **{name: bound[name] for name in sql.compose(stem, "duckdb").params})
                )
                for scope in scopes
                for bound in [BOUND | MONTH | scope]
                for stem in questions
            }
    return {"tables": tables, "answers": asked}


def held(opened: Any, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    if isinstance(opened, spark.SparkWarehouse):
        opened._show(table, {})
        rows = opened._session.table(table).toArrow().to_pylist()
    else:
        rows = opened._execute(f"SELECT * FROM {table}", {}).mappings()
    return [warehouse.plain(row) for row in rows]


def ordered(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows in a fixed order, without the time of their load. PostgreSQL's numerics differ from doubles in a last digit."""

    def plain(value: Any) -> Any:
        return f"{value:.12g}" if isinstance(value, float) else value

    return sorted(repr(sorted((name, plain(row[name])) for name in row if "loaded_at" not in name)) for row in rows)


def reported(configuration: Path, engine: dict[str, str], folder: Path) -> Any:
    """Make a month's report, and return its figures."""
    asked = ("--subscription", "harbour-monthly", "--period", "2026-10", "--output", str(folder))
    ran = command.run(configuration, "reports", *asked, **engine)
    assert ran.code == 0, ran.err
    [path] = (configuration.parent / "landing" / "reports" / "harbour-monthly").rglob("figures.json")
    return without_times(path)


def test_the_month_is_not_empty(wanted: Content) -> None:
    """What the other tests compare has rows in every table, and an answer to every question about one issuer but one."""
    assert [table for table, rows in wanted["tables"].items() if not rows] == []
    assert [stem for (stem, issuer), rows in wanted["answers"].items() if issuer and not rows] == ["slice_oddities"]


@pytest.mark.parametrize("engine", ["postgres", "sail"])
def test_a_month_has_one_answer(
    engine: str,
    wanted: Content,
    month: Path,
    filled: Callable[[str], dict[str, str]],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """Whoever moves to another engine finds every row and every figure again."""
    variables = filled(request.getfixturevalue(f"{engine}_url"))
    assert content(month, variables, QUESTIONS) == wanted
    assert reported(month, variables, tmp_path / "there") == reported(month, KEY, tmp_path / "here")


def test_a_month_has_one_answer_on_spark(
    cluster: spark_servers.Cluster, wanted: Content, month: Path, filled: Callable[[str], dict[str, str]]
) -> None:
    """Two workers compute what DuckDB computes, over sixty landed slices."""
    asked = {key: rows for key, rows in wanted["answers"].items() if key[0] in ASKED and key[1]}
    found = content(month, filled(cluster.url), ASKED, SCOPES[1:])
    assert found == {"tables": wanted["tables"], "answers": asked}
