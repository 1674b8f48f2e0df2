"""Fixtures that test modules share: a PostgreSQL server for the session, and an empty warehouse on each engine."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from itertools import count
from pathlib import Path

import hypothesis
import psycopg
import pytest

from etl import settings, warehouse
from etl.landing import Landing

_NUMBERS = count(1)

# In CI the examples are always the same, so that only the submitted change can fail. Other runs draw new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[int]:
    """Start a PostgreSQL server for the session, and yield its port on loopback."""
    binaries = _binaries()
    root = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = "postgres" if os.geteuid() == 0 else None  # initdb and the server refuse to run as root
    if user:
        os.chown(root, pwd.getpwnam(user).pw_uid, -1)
    run = partial(subprocess.run, user=user, check=True, cwd=root, stdout=subprocess.DEVNULL)
    port = _free_port()
    options = f"-p {port} -k {root} -c listen_addresses=127.0.0.1 -c fsync=off -c timezone=Asia/Tokyo"
    run([binaries / "initdb", "-D", root / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"])
    run([binaries / "pg_ctl", "-D", root / "data", "-w", "-l", root / "log", "-o", options, "start"])
    yield port
    run([binaries / "pg_ctl", "-D", root / "data", "-m", "immediate", "stop"])
    shutil.rmtree(root)


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


def _binaries() -> Path:
    """Return the folder of initdb. Raise RuntimeError without one, since the product promises to run on PostgreSQL."""
    config = shutil.which("pg_config")
    named = (
        subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        if config
        else ""
    )
    candidates = [Path(named), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = next((folder for folder in candidates if (folder / "initdb").is_file()), None)
    if found is None:
        raise RuntimeError("no PostgreSQL server found; install it (Debian: apt-get install postgresql)")
    return found


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
