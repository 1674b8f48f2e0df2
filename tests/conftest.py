"""Fixtures that test modules share: a PostgreSQL server for the session, and an empty warehouse on each engine."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import hypothesis
import psycopg
import pytest

from etl import settings, warehouse
from etl.landing import Landing
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


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty warehouse, on each engine in turn."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"duckdb:///{tmp_path / 'warehouse.duckdb'}"


@pytest.fixture
def open_warehouse(warehouse_url: str) -> Callable[[], AbstractContextManager[warehouse.Warehouse]]:
    """Return a function that opens the warehouse, each time in a new connection."""
    table = settings.Warehouse(url=warehouse_url)
    return lambda: warehouse.open(table, settings.from_environment, key_fingerprint="k1")


@pytest.fixture
def opened(open_warehouse: Callable[[], AbstractContextManager[warehouse.Warehouse]]) -> Iterator[warehouse.Warehouse]:
    """Yield the open warehouse."""
    with open_warehouse() as one:
        yield one


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    """Return an empty landing."""
    return Landing(f"file://{tmp_path / 'landing'}")
