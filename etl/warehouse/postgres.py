"""PostgreSQL: many processes at a time, also many that write, each another slice."""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from pyarrow import csv
from sqlalchemy import URL, Connection, CursorResult, NullPool, TextClause, create_engine
from sqlalchemy.exc import DBAPIError

NAME = "postgres"
ERRORS = (DBAPIError, psycopg.Error)

_INDEXES = {
    "events": ("(source, load_date)", "(identity_key)"),
    "failures": ("(source, load_date)", "(identity_key)"),
    "identities": (
        "(source, load_date)",
        "USING hash (recipient_id)",
        "USING hash (message_id)",
        "USING hash (address_hash)",
    ),
    "recipients": ("USING hash (recipient_id)", "USING hash (message_id)", "USING hash (address_hash)"),
}
"""The indexes of each table. Ids from outside may have any length, and only a hash index accepts that."""

_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.int64(): "BIGINT",
}
_BATCH_ROWS = 50_000
_WRITERS, _SLICES = 20_261_123, 20_261_124  # the locks' numbers: any, but the same in every process


def connect(url: URL) -> Connection:
    """Connect so that all queries between two writes see the same snapshot.

    Statements are sent with their parameters as literals, so that PostgreSQL plans ``:source IS NULL OR source = :source``
    for what is asked. It does not compile them (``jit``): that takes seconds, and most of them run for less.
    """
    connection = create_engine(
        url,
        poolclass=NullPool,
        isolation_level="REPEATABLE READ",
        hide_parameters=True,
        connect_args={"cursor_factory": psycopg.ClientCursor},
    ).connect()
    connection.exec_driver_sql("SET jit = off")
    connection.commit()
    return connection


def create(connection: Connection, statement: str) -> None:
    """Run a CREATE TABLE, and create the indexes of that table.

    Text is compared byte by byte, as on every other engine, whatever the database's locale.
    """
    connection.exec_driver_sql(_bytewise(statement))
    table = statement.partition("CREATE TABLE IF NOT EXISTS ")[2].partition(" ")[0]
    for columns in _INDEXES.get(table, ()):
        connection.exec_driver_sql(f"CREATE INDEX ON {table} {columns}")


def execute(connection: Connection, statement: TextClause) -> CursorResult[Any]:
    """Run a statement; the driver sends its parameters as literals."""
    return connection.execute(statement)


@contextmanager
def writing(connection: Connection, only: str | None) -> Iterator[None]:
    """Keep other writers out until the block ends, or those of one slice where it is named. Readers are not blocked.

    Writers of slices share a lock that a writer of anything else has alone: the registry decides which certificates a slice
    concerns, and a refresh empties the list of the stale ones. The session takes its locks before the transaction begins, so
    the transaction sees what the previous writer committed.
    """
    locks = [("_shared", (_WRITERS, "")), ("", (_SLICES, only))] if only else [("", (_WRITERS, ""))]
    for mode, name in locks:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock{mode}(%s, hashtext(%s))", name)
    connection.commit()
    try:
        yield
    finally:
        for mode, name in reversed(locks):
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock{mode}(%s, hashtext(%s))", name)
        connection.commit()


def stage_parquet(connection: Connection, name: str, files: Sequence[Path], columns: Collection[str]) -> None:
    """Copy those columns of Parquet files into a temporary table of that name."""
    from pyarrow import dataset  # noqa: PLC0415  # imports pandas, which takes a second

    landed = dataset.dataset([str(file) for file in files], format="parquet")
    fields = [field for field in landed.schema if field.name in columns]
    names = ", ".join(field.name for field in fields)
    typed = ", ".join(f"{field.name} {_TYPES.get(field.type, 'VARCHAR')}" for field in fields)
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
    connection.exec_driver_sql(_bytewise(f"CREATE TEMPORARY TABLE {name} ({typed})"))
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {name} ({names}) FROM STDIN (FORMAT csv)") as copy:
        for batch in landed.to_batches(columns=[field.name for field in fields], batch_size=_BATCH_ROWS):
            copy.write(_csv(batch))
    connection.exec_driver_sql(f"ANALYZE {name}")


def note_growth(connection: Connection, table: str, count: int) -> None:
    """Run ANALYZE on a table that grew by more than a tenth.

    Autovacuum does so by the same rule, but only up to a minute later. Until then a question over a table that was just
    filled is planned for a few rows, and a million events took over six minutes instead of 15 seconds.
    """
    known = "SELECT reltuples FROM pg_class WHERE oid = CAST(%s AS regclass)"  # -1: it was never looked at
    if count > 0.1 * connection.exec_driver_sql(known, (table,)).scalar_one():
        connection.exec_driver_sql(f"ANALYZE {table}")


def _bytewise(statement: str) -> str:
    return re.sub(r"\bVARCHAR\b", 'VARCHAR COLLATE "C"', statement)


def _csv(batch: pa.RecordBatch) -> bytes:
    """Return a batch as CSV, in which NULL is empty and an empty text is two quotes.

    The byte 0 becomes U+FFFD, because PostgreSQL refuses it.
    """
    content = BytesIO()
    csv.write_csv(batch, content, csv.WriteOptions(include_header=False))
    return content.getvalue().replace(b"\0", "\N{REPLACEMENT CHARACTER}".encode())
