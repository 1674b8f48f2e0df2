"""DuckDB, the embedded default: one file, one process at a time."""

import logging
import re
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, CursorResult, NullPool, TextClause, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential

from etl.errors import WarehouseError

NAME = "duckdb"
ERRORS = (DBAPIError,)
PATIENCE_SECONDS = 120

_log = logging.getLogger(__name__)


def connect(url: URL) -> Connection:
    """Connect to the file. Wait while another process holds it; after two minutes raise a WarehouseError that names it."""
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    retrying = Retrying(
        retry=retry_if_exception(_is_held),
        wait=wait_exponential(multiplier=0.25, max=5),
        stop=stop_after_delay(PATIENCE_SECONDS),
        before_sleep=_log_holder,
        reraise=True,
    )
    try:
        return retrying(engine.connect)
    except OperationalError as error:
        if _is_held(error):
            raise WarehouseError(
                f"{_holder(error)} still holds the warehouse; let it end, or end it, then run again"
            ) from None
        raise


def create(connection: Connection, statement: str) -> None:
    """Run a CREATE TABLE unchanged."""
    connection.exec_driver_sql(statement)


def execute(connection: Connection, statement: TextClause) -> CursorResult[Any]:
    """Run a statement with its parameters as literals: for a bound one DuckDB imports pandas, which takes two seconds."""
    compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    return connection.exec_driver_sql(str(compiled))


def writing(connection: Connection, only: str | None) -> AbstractContextManager[None]:  # noqa: ARG001
    """Do nothing, since no other process can have the file open."""
    return nullcontext()


def stage_parquet(
    connection: Connection,
    name: str,
    files: Sequence[Path],
    columns: Collection[str],  # noqa: ARG001  # columns that no query reads cost nothing
) -> None:
    """Make Parquet files readable under a name, in place."""
    paths = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    view = f"CREATE OR REPLACE TEMPORARY VIEW {name} AS SELECT * FROM read_parquet([{paths}])"  # noqa: S608
    connection.exec_driver_sql(view)


def note_growth(connection: Connection, table: str, count: int) -> None:
    """Do nothing, since DuckDB counts the rows of a table as they come."""


def _is_held(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and "Could not set lock" in str(error.orig)


def _holder(error: BaseException | None) -> str:
    found = re.search(r"held in (.+?) \(PID (\d+)\)", str(error))
    return f"process {found.group(2)} ({found.group(1)})" if found else "another process"


def _log_holder(attempt: RetryCallState) -> None:
    error = attempt.outcome.exception() if attempt.outcome else None
    _log.warning("waiting for the warehouse: %s holds it", _holder(error))
