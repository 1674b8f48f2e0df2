"""The stage's DuckDB: a connection with our functions and macros, and the named SQL that runs on it.

A file of ``sql/normalise`` becomes a view, a table or a Parquet file. Its values are DuckDB variables, which the SQL
reads by ``GETVARIABLE``; a variable that no file reads, or that is not set, is refused.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from crawlerdetect import CrawlerDetect
from duckdb.func import ARROW
from duckdb.sqltypes import BOOLEAN, VARCHAR

from etl import settings, sql
from etl.errors import QueryError

FOLDER = "normalise"
_MACROS = ("text", "times", "json", "addresses", "links", "agents", "registry")

Value = bool | str | date | list[str]


@contextmanager
def connected(limits: settings.Normalise, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB in memory that keeps to the limits and spills into the scratch folder."""
    options: dict[str, Any] = {"memory_limit": limits.memory_limit, "temp_directory": str(scratch / "spill")}
    if limits.threads:
        options["threads"] = str(limits.threads)
    with duckdb.connect(config=options) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # A join, which is what the optimizer makes of IN, loses the order of the files.
        connection.execute("SET disabled_optimizers = 'in_clause'")
        connection.create_function("crawler", _are_crawlers(), [VARCHAR], BOOLEAN, type=ARROW)
        connection.create_function("unquoted", _unquoted, [VARCHAR], VARCHAR)
        for subject in _MACROS:
            connection.execute(sql.read(f"{FOLDER}/macros", subject).text)
        yield connection


def bind(connection: duckdb.DuckDBPyConnection, **variables: Value) -> None:
    """Set variables that the SQL reads; a QueryError for one that no file reads."""
    for name, value in variables.items():
        if name not in sql.params(FOLDER):
            raise QueryError(f"no file of sql/{FOLDER} reads the variable {name}")
        # Not as a bound value: for that DuckDB imports pandas, more than a second in every process.
        connection.execute(f"SET VARIABLE {name} = {_literal(value)}")


def relation(connection: duckdb.DuckDBPyConnection, stem: str) -> duckdb.DuckDBPyRelation:
    """Return the SELECT of ``sql/normalise/<stem>.sql``, which runs when its rows are asked for.

    A QueryError where a variable that it reads is not set.
    """
    return connection.sql(_ready(connection, stem))


def define(connection: duckdb.DuckDBPyConnection, stem: str) -> None:
    """Create the view of that name."""
    relation(connection, stem).create_view(stem)


def rows(connection: duckdb.DuckDBPyConnection, stem: str) -> Iterator[Any]:
    """Yield the rows of a SELECT, many at a time from DuckDB."""
    result = relation(connection, stem)
    while found := result.fetchmany(10_000):
        yield from found


def write(connection: duckdb.DuckDBPyConnection, stem: str, file: Path, *, compression: str) -> None:
    """Write a SELECT's rows as Parquet; dictionaries of keys and hashes would cost more than they save."""
    options = f"FORMAT parquet, COMPRESSION {compression}, DICTIONARY_SIZE_LIMIT 1000, PARQUET_VERSION V2"
    connection.execute(f"COPY (\n{_ready(connection, stem)}) TO {_quoted(str(file))} ({options})")


def _ready(connection: duckdb.DuckDBPyConnection, stem: str) -> str:
    query = sql.read(FOLDER, stem)
    query.require({name for (name,) in connection.table_function("duckdb_variables").project("name").fetchall()})
    return query.text


def _literal(value: Value) -> str:
    """Write a value as DuckDB reads it."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return f"CAST([{', '.join(map(_literal, value))}] AS VARCHAR[])"
    kind = "TIMESTAMP" if isinstance(value, datetime) else "DATE" if isinstance(value, date) else "VARCHAR"
    return f"CAST({_quoted(str(value))} AS {kind})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _are_crawlers() -> Callable[[Any], Any]:
    """Return a function that tells crawlers in an Arrow column of agents, and asks once for each different one."""
    is_crawler = functools.lru_cache(maxsize=100_000)(CrawlerDetect().isCrawler)

    def over_column(column: Any) -> Any:
        texts = (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).dictionary_encode()
        return pa.array([is_crawler(text) for text in texts.dictionary.to_pylist()], pa.bool_()).take(texts.indices)

    return over_column


def _unquoted(text: str) -> str:
    """Decode percent-encoding, row by row: DuckDB 1.5 frees the texts that an Arrow function returns inside CASE."""
    return unquote(text, errors="replace")
