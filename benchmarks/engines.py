"""Measure the statistics on DuckDB, PostgreSQL, Sail, and Spark with two workers, over the same landed events.

One night is landed. Each engine then fills an empty warehouse from the landing and computes the stored figures (`rebuild`),
and is asked what the report of one issuer asks most. All answers must be equal.

Run it as `python -m benchmarks.engines [--events 1000000]`, in an environment with the group `servers`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import sendgrid_events
from tests import postgres_server, spark_servers

ROOT = Path(__file__).parents[1]
DAY = date(2026, 11, 2)
ASKED = ("certificate_figures", "totals", "trend", "receiving_domains", "channel_shares", "recipient_states")
KEY = {"ANALYTICS_PRIVACY__SECRET": "HASH_KEY", "HASH_KEY": "of the benchmark"}
ENGINES = ("duckdb", "postgres", "sail", "spark")
SCOPE = {
    "issuer_id": "iss_0", "certificate_id": None, "only_stale": False, "only_touched": False, "source": None,
    "load_date": None, "period_start": datetime(2026, 11, 1), "period_end": datetime(2026, 12, 1), "credential_hosts": "",
    "boundaries": "2026-11-01 00:00:00,2026-12-01 00:00:00", "count_share_links": False, "since_at": None,
    "click_after_delivery_seconds": 5, "links_at_once": 3, "links_at_once_seconds": 2, "most_domains": 5,
    "mail_logs_begin_at": datetime(2026, 11, 1), "claim_logs_begin_at": datetime(2026, 11, 1),
    "remind_before_at": datetime(2026, 11, 28), "remind_before_since_at": None,
}  # fmt: skip
"""The parameters of a report about November of one of the issuers."""


def main() -> None:
    """Print a line for each engine: the seconds of the rebuild, and of all questions, in a new session and again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, postgres_server.serving() as port:
        home = Path(folder)
        sendgrid_events.write(home / "events.ndjson", arguments.events, day=DAY)
        sendgrid_events.write_registry(home / "registry", day=DAY)
        sendgrid_events.write_configuration(home, home / "registry", home / "events.ndjson")
        _run(KEY | {"ANALYTICS_CONFIG": str(home / "analytics.toml")}, "nightly", "--day", str(DAY))
        (home / "warehouse.duckdb").unlink()
        print(f"{'':<10}{'rebuild':>10}{'asked':>10}{'again':>10}   {arguments.events:,} events, seconds")
        found = []
        for engine in ENGINES:
            with _served(engine, port) as url:
                seconds, answers = _measured(home, engine, url)
            found.append(answers)
            print(f"{engine:<10}" + "".join(f"{each:>10.1f}" for each in seconds), flush=True)
        print("all answers are equal" if all(each == found[0] for each in found) else "the answers DIFFER")


@contextmanager
def _served(engine: str, port: int) -> Iterator[str | None]:
    """Run what an engine needs until the block ends, and yield the URL of an empty warehouse; None for the configured one."""
    if engine == "duckdb":
        yield None
    elif engine == "postgres":
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE engines")
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/engines"
    elif engine == "sail":
        with spark_servers.sail() as (url, _):
            yield url
    else:
        with spark_servers.cluster() as cluster:
            yield cluster.url


def _measured(home: Path, engine: str, url: str | None) -> tuple[list[float], dict[str, Any]]:
    """Return the seconds of the rebuild and of the questions, asked twice, and their answers."""
    from etl import pipeline, sql

    where = KEY | {"ANALYTICS_CONFIG": str(home / "analytics.toml")}
    if url:
        where |= {"ANALYTICS_WAREHOUSE__URL": url, "ANALYTICS_STATE__URL": f"sqlite:///{home}/{engine}.db"}
    seconds = [_run(where, "rebuild")]
    os.environ |= where
    context = pipeline.open_context(os.environ.get)
    scopes = {stem: {name: SCOPE[name] for name in sql.compose(stem, "duckdb").params} for stem in ASKED}
    for _ in range(2):
        started = time.perf_counter()
        with context.warehouse() as opened:
            answers = {stem: sorted(map(repr, opened.rows(stem, **scope))) for stem, scope in scopes.items()}
        seconds.append(time.perf_counter() - started)
    return seconds, answers


def _run(where: dict[str, str], *arguments: str) -> float:
    """Run a command, and return its seconds."""
    command, environment = [sys.executable, "-m", "etl", *arguments], os.environ | {"PYTHONPATH": str(ROOT)} | where
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
