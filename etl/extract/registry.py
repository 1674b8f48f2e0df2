"""Land the registry's four tables as CSV: copied from a folder, or written from the results of four queries."""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from functools import partial
from math import isfinite
from typing import Any, BinaryIO
from uuid import UUID

import fsspec
import sqlalchemy as sa

from etl import scratch
from etl.errors import AnalyticsError, ConfigurationError, RefusedRegistry, RegistryError, reason_of, refusal_of
from etl.landing import LandedFile, Landing, Manifest
from etl.settings import Registry, RegistryTable, SecretLookup, with_password

TABLES: tuple[RegistryTable, ...] = ("issuers", "certificates", "recipients", "subscriptions")
UNREADABLE = "unreadable_columns"
"""The column that a database's CSV has besides those of the query. No query needs one of that name."""

_POSTGRES_TYPES = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "jsonb")
_TEXT_FORMAT = 0  # of libpq
_BATCH = 10_000
_BLOCK = 1 << 20  # bytes of a file in memory at a time


def pull(landing: Landing, registry: Registry, lookup: SecretLookup) -> Manifest:
    """Land the whole registry, as it is now, as ``registry/<version>/raw/<table>.csv``; publish it and return its manifest.

    Raise a RegistryError, and publish nothing, where a table cannot be read.
    """
    is_database = bool(registry.queries)
    version = landing.fresh_version()
    open_table = _from_database if is_database else _from_folder
    raw: list[LandedFile] = []
    for table in TABLES:
        with open_table(registry, table, lookup) as content:
            raw.append(landing.store("registry", f"{version}/raw/{table}.csv", content, origin=table))
    manifest = Manifest(prefix="registry", raw=tuple(raw))
    landing.publish(manifest)
    return manifest


def probe(registry: Registry, lookup: SecretLookup) -> str:
    """Check that all four tables can be read; return a sentence that says so. A RegistryError names the one that cannot."""
    for table in TABLES:
        with (_from_database if registry.queries else _from_folder)(registry, table, lookup) as content:
            content.read(1)
    return "all four tables can be read"


@contextmanager
def _from_folder(registry: Registry, table: RegistryTable, lookup: SecretLookup) -> Iterator[BinaryIO]:  # noqa: ARG001
    try:
        filesystem, path = fsspec.url_to_fs(f"{registry.url.rstrip('/')}/{table}.csv")
    except (ValueError, ImportError) as error:  # an unknown protocol, or one whose library is missing
        raise ConfigurationError(
            f"registry.url is no folder ({error}); if it is a database, write registry.queries"
        ) from None
    try:
        filesystem.invalidate_cache()  # a file that grew must not be read at its former length
        with filesystem.open(path, "rb", block_size=_BLOCK) as content:
            yield content
    except AnalyticsError:
        raise
    except FileNotFoundError:
        raise RefusedRegistry(f"the registry at {registry.url} has no {table}.csv; put the file there") from None
    except Exception as error:  # every kind of store has its own exceptions
        raise RegistryError(
            f"{table}.csv of the registry cannot be read ({reason_of(error)}); see that this host may read it"
        ) from error


@contextmanager
def _from_database(registry: Registry, table: RegistryTable, lookup: SecretLookup) -> Iterator[BinaryIO]:
    query = registry.queries.get(table)
    if query is None:
        raise ConfigurationError(
            f"registry.queries.{table} is missing; write one SELECT for each of {', '.join(TABLES)}"
        )
    engine = _engine(with_password(registry.url, registry.secret, lookup))
    try:
        with scratch.folder() as folder, (folder / f"{table}.csv").open("w+b") as file:
            with engine.connect() as connection:
                # The SQL of the user, unchanged: a colon or a percent sign in it is no parameter.
                streamed = connection.execution_options(stream_results=True, no_parameters=True)
                _give_texts_for_what_python_cannot_hold(connection)
                answer = streamed.exec_driver_sql(query)
                _write_csv(file, list(answer.keys()), answer.partitions(_BATCH))
            file.seek(0)
            yield file
    except (sa.exc.SQLAlchemyError, ArithmeticError, UnicodeError) as error:
        reason = refusal_of(error, engine.url.password) if getattr(error, "orig", None) else type(error).__name__
        raise RegistryError(
            f"registry.queries.{table} failed ({reason}); see that [registry] url and the query are right"
        ) from None
    finally:
        engine.dispose()


def _engine(url: str) -> sa.Engine:
    try:
        return sa.create_engine(url, hide_parameters=True)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError, ValueError):
        raise ConfigurationError(
            "registry.url is no database's; write postgresql+psycopg://user@host/db, or leave out registry.queries"
        ) from None


def _give_texts_for_what_python_cannot_hold(connection: sa.Connection) -> None:
    """Let the driver return a value as the database prints it where Python has none, as for the time ``infinity``.

    Otherwise one such value, or in SQLite one text that is not UTF-8, would end the whole query.
    """
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        for name in _POSTGRES_TYPES:
            oid = driver.adapters.types[name].oid
            driver.adapters.register_loader(oid, _lenient(driver.adapters.get_loader(oid, _TEXT_FORMAT)))
    elif connection.dialect.name == "sqlite":
        driver.text_factory = partial(bytes.decode, errors="surrogateescape")


def _lenient(loader: Any) -> Any:
    """Return a loader of psycopg's kind, which returns the text of a value that the given loader cannot convert."""

    class Lenient:
        format = _TEXT_FORMAT

        def __init__(self, oid: int, context: Any = None) -> None:
            self._strict = loader(oid, context)

        def load(self, data: Any) -> Any:
            try:
                return self._strict.load(data)
            except Exception:  # noqa: BLE001  # the driver's own errors, and those of datetime and json
                return bytes(data).decode(errors="surrogateescape")

    return Lenient


def _write_csv(file: BinaryIO, header: list[str], batches: Iterator[Any]) -> None:
    """Write the rows as CSV, with the numbers of the columns whose values have no text in a column of their own.

    The mark of UTF-8 proves the encoding, although SQLite may give a text with other bytes, which are kept.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    writer = csv.writer(text)
    writer.writerow([*header, UNREADABLE])
    for batch in batches:
        writer.writerows(map(_texts, batch))
    text.flush()
    text.detach()


def _texts(row: Iterable[Any]) -> list[str | None]:
    values = list(row)
    texts = [_as_text(value) for value in values]
    without = (number for number, text in enumerate(texts) if text is None and values[number] is not None)
    return [*texts, " ".join(map(str, without))]


def _as_text(value: Any) -> str | None:  # noqa: PLR0911  # one for each kind of value
    """Return a value as the registry's CSV has it, or None for NULL and for what is no text, number, time or UUID.

    Booleans are ``true`` or ``false``, times ISO 8601, whole numbers without a point. Bytes are a text where they are UTF-8.
    """
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case date():
            return value.isoformat()
        case float() | Decimal() if isfinite(value):
            whole, _, fraction = format(Decimal(str(value)), "f").partition(".")
            return f"{whole}.{fraction}" if fraction.strip("0") else whole
        case int() | UUID():
            return str(value)
        case bytes():
            return _decoded(value)
    return None


def _decoded(value: bytes) -> str | None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None
