"""Open the stage's DuckDB, with our functions and macros, and run the files of ``sql/normalise`` on it.

A file becomes a view, a table or a Parquet file. Its parameters are DuckDB variables, which the SQL reads by
``GETVARIABLE``. A variable that no file reads is refused, and so is a query whose variables are not all set.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
from crawlerdetect import CrawlerDetect
from duckdb.func import ARROW
from duckdb.sqltypes import BOOLEAN, VARCHAR

from etl import mailbox, settings, sql
from etl.errors import QueryError

FOLDER = "normalise"
_MACROS = ("text", "times", "json", "addresses", "links", "agents", "bounces", "sendgrid", "registry")

Value = bool | str | date | list[str] | None


@contextmanager
def connected(limits: settings.Normalise, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB in memory, which keeps within the limits and spills to the scratch folder."""
    options: dict[str, Any] = {"memory_limit": limits.memory_limit, "temp_directory": str(scratch / "spill")}
    if limits.threads:
        options["threads"] = str(limits.threads)
    with duckdb.connect(config=options) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")  # a process of a pool looks interactive to DuckDB
        # The optimizer turns IN into a join, which loses the order of the files.
        connection.execute("SET disabled_optimizers = 'in_clause'")
        connection.create_function("crawler", _are_crawlers(), [VARCHAR], BOOLEAN, type=ARROW)
        connection.create_function("unquoted", _unquoted, [VARCHAR], VARCHAR)
        connection.create_function("parses_as_mailbox", _parses_as_mailbox, [VARCHAR], BOOLEAN)
        for subject in _MACROS:
            connection.execute(sql.read(f"{FOLDER}/macros", subject).text)
        yield connection


def bind(connection: duckdb.DuckDBPyConnection, **variables: Value) -> None:
    """Set variables for the SQL. Raise a QueryError if no file reads a variable of that name."""
    for name, value in variables.items():
        if name not in sql.params(FOLDER):
            raise QueryError(f"no file of sql/{FOLDER} reads the variable {name}")
        # As a literal: for a bound value DuckDB imports pandas, which takes over a second in every process.
        connection.execute(f"SET VARIABLE {name} = {_literal(value)}")


def relation(connection: duckdb.DuckDBPyConnection, stem: str) -> duckdb.DuckDBPyRelation:
    """Return the SELECT of ``sql/normalise/<stem>.sql``; it runs when its rows are fetched.

    Raise a QueryError if a variable that it reads is not set.
    """
    return connection.sql(_ready(connection, stem))


def define(connection: duckdb.DuckDBPyConnection, stem: str) -> None:
    """Create a view named ``stem`` from the file of that stem."""
    connection.execute(f"CREATE OR REPLACE TEMPORARY VIEW {stem} AS\n{_ready(connection, stem)}")


def keep(connection: duckdb.DuckDBPyConnection, stem: str) -> None:
    """Create a table named ``stem`` from the file of that stem."""
    connection.execute(f"CREATE OR REPLACE TEMPORARY TABLE {stem} AS\n{_ready(connection, stem)}")


def rows(connection: duckdb.DuckDBPyConnection, stem: str) -> Iterator[Any]:
    """Yield the rows of a SELECT, fetched from DuckDB in batches."""
    result = relation(connection, stem)
    while found := result.fetchmany(10_000):
        yield from found


def write(connection: duckdb.DuckDBPyConnection, stem: str, file: Path, *, compression: str) -> None:
    """Write the rows of a SELECT as Parquet.

    Dictionaries are limited to 1000 values: those of keys and hashes would cost more than they save.
    """
    options = f"FORMAT parquet, COMPRESSION {compression}, DICTIONARY_SIZE_LIMIT 1000, PARQUET_VERSION V2"
    connection.execute(f"COPY (\n{_ready(connection, stem)}) TO {_quoted(str(file))} ({options})")


def _ready(connection: duckdb.DuckDBPyConnection, stem: str) -> str:
    query = sql.read(FOLDER, stem)
    query.require({name for (name,) in connection.table_function("duckdb_variables").project("name").fetchall()})
    return query.text


def _literal(value: Value) -> str:
    """Return a value as a SQL literal of DuckDB."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return f"CAST([{', '.join(map(_literal, value))}] AS VARCHAR[])"
    kind = "TIMESTAMP" if isinstance(value, datetime) else "DATE" if isinstance(value, date) else "VARCHAR"
    return f"CAST({_quoted(str(value))} AS {kind})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _are_crawlers() -> Callable[[Any], Any]:
    """Return a function that finds the crawlers in an Arrow column of user agents, and checks each different one once."""
    is_crawler = functools.lru_cache(maxsize=100_000)(CrawlerDetect().isCrawler)

    def over_column(column: Any) -> Any:
        import pyarrow as pa  # noqa: PLC0415  # imports NumPy, half a second that only a column of agents is worth

        texts = (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).dictionary_encode()
        return pa.array([is_crawler(text) for text in texts.dictionary.to_pylist()], pa.bool_()).take(texts.indices)

    return over_column


def _parses_as_mailbox(text: str) -> bool:
    """Tell whether a text is exactly one mailbox, by the rule of the stages that write and send mail."""
    try:
        mailbox.parse(text)
    except ValueError:
        return False
    return True


def _unquoted(text: str) -> str:
    """Decode percent-encoding of one text. Not by column: DuckDB 1.5 frees the texts that an Arrow function returns in CASE."""
    return unquote(text, errors="replace")
