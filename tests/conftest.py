"""Fixtures that test modules share: a PostgreSQL server for the session, and an empty warehouse on each engine."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import hypothesis
import psycopg
import pytest
from sqlalchemy import NullPool, create_engine

from etl import settings, warehouse
from etl.landing import Landing
from tests import spark_servers
from tests.postgres_server import serving

_NUMBERS = count(1)

# In CI the examples are always the same, so that only the submitted change can fail. Other runs draw new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[int]:
    """Start a PostgreSQL server for the session, and yield its port on loopback."""
    with serving() as port:
        yield port


@pytest.fixture
def postgres_url(postgres_server: int) -> Iterator[str]:
    """Yield the warehouse URL of an empty schema on the server."""
    schema = f"case_{next(_NUMBERS)}"
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield (f"postgresql+psycopg://postgres@127.0.0.1:{postgres_server}/postgres?options=-csearch_path%3D{schema}")
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture(scope="session")
def sail_url() -> Iterator[str]:
    """Yield the URL of a Sail server, which speaks Spark Connect."""
    with spark_servers.sail() as (url, _):
        yield url


@pytest.fixture(scope="session")
def cluster() -> Iterator[spark_servers.Cluster]:
    """Yield a Spark standalone cluster of two workers with a Connect server."""
    with spark_servers.cluster() as running:
        yield running


@pytest.fixture
def stores(landing: Landing, tmp_path: Path) -> warehouse.Stores:
    """Return the landing and an empty state, in which an engine without tables of its own keeps what it holds."""
    return warehouse.Stores(landing, create_engine(f"sqlite:///{tmp_path / 'state.db'}", poolclass=NullPool))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of the warehouse on every engine; one that looks into the tables (mark ``tables``) on those that have them."""
    if "warehouse_url" in metafunc.fixturenames:
        has_tables = metafunc.definition.get_closest_marker("tables")
        engines = ["duckdb", "postgres"] if has_tables else ["duckdb", "postgres", "sail"]
        metafunc.parametrize("warehouse_url", engines, indirect=True)


@pytest.fixture
def warehouse_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty warehouse, on each engine in turn."""
    if request.param == "duckdb":
        return f"duckdb:///{tmp_path / 'warehouse.duckdb'}"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def open_warehouse(
    warehouse_url: str, stores: warehouse.Stores
) -> Callable[[], AbstractContextManager[warehouse.Warehouse]]:
    """Return a function that opens the warehouse, each time in a new connection."""
    table = settings.Warehouse(url=warehouse_url)
    return lambda: warehouse.open(table, settings.from_environment, key_fingerprint="k1", stores=stores)


@pytest.fixture
def opened(open_warehouse: Callable[[], AbstractContextManager[warehouse.Warehouse]]) -> Iterator[warehouse.Warehouse]:
    """Yield the open warehouse."""
    with open_warehouse() as one:
        yield one


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    """Return an empty landing."""
    return Landing(f"file://{tmp_path / 'landing'}")
