"""Promises of the warehouse on Apache Spark itself: a master, two workers, and a Connect server."""

import os
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from etl import statistics, warehouse
from etl.landing import Landing
from etl.warehouse import spark
from tests import given, spark_servers
from tests.test_spark import GIVEN, QUESTIONS, answers, opened

_BOUNDED = {
    "attribution", "certificate_needs", "certificate_peers", "channel_shares", "claim_cohorts", "listed_recipients",
    "listed_slices", "metric_catalogue", "rate_intervals", "receiving_domains", "slice_oddities", "spans",
    "todo_totals", "trend",
}  # fmt: skip
ASKED = QUESTIONS if os.environ.get("SPARK_QUESTIONS") == "all" else sorted(_BOUNDED)
"""Every question takes Spark some seconds to plan. ``make test-spark`` asks all; Sail is asked all in any run."""


def on_duckdb(stems: list[str], stores: warehouse.Stores, landing: Landing, folder: Path) -> dict[str, Any]:
    """Return the answers of DuckDB."""
    with opened(f"duckdb:///{folder / 'warehouse.duckdb'}", stores) as one:
        given.bring(one, landing, GIVEN)
        statistics.refresh(one, given.configuration({}))
        return answers(one, stems)


def test_every_question_has_the_same_answer(
    cluster: spark_servers.Cluster, stores: warehouse.Stores, landing: Landing, tmp_path: Path
) -> None:
    """Figures are those of DuckDB, whichever worker computed them."""
    with opened(cluster.url, stores) as one:
        given.bring(one, landing, GIVEN)
        statistics.refresh(one, given.configuration({}))
        found = answers(one, ASKED)
    assert found == on_duckdb(ASKED, stores, landing, tmp_path)


def test_a_worker_killed_in_the_middle_of_a_question_changes_nothing(
    cluster: spark_servers.Cluster,
    stores: warehouse.Stores,
    landing: Landing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other worker computes again what was lost. The last test of this cluster, of which half is gone."""
    stems = ["recipient_states", "listed_recipients", "totals"]
    is_killed, step = Event(), spark.SparkWarehouse._step

    def kill() -> None:
        spark_servers.end(cluster.workers[0])
        is_killed.set()

    def killed_within(self: Any, stem: str, scope: Any) -> Any:
        if stem == "recipient_states":
            Timer(0.3, kill).start()
        return step(self, stem, scope)

    with opened(cluster.url, stores) as one:
        given.bring(one, landing, GIVEN)
        monkeypatch.setattr(spark.SparkWarehouse, "_step", killed_within)
        first = answers(one, ["totals"])
        assert is_killed.is_set()
        monkeypatch.undo()
        found = first | answers(one, stems[:2])
    assert found == on_duckdb(stems, stores, landing, tmp_path)
