"""Land the registry's four tables as CSV: copied from a folder, or written from the results of four queries."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, BinaryIO

import fsspec
import sqlalchemy as sa

from etl import scratch
from etl.errors import AnalyticsError, ConfigurationError, RefusedRegistry, RegistryError, reason_of, refusal_of
from etl.landing import LandedFile, Landing, Manifest
from etl.settings import Registry, RegistryTable, SecretLookup, with_password

TABLES: tuple[RegistryTable, ...] = ("issuers", "certificates", "recipients", "subscriptions")
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
                answer = streamed.exec_driver_sql(query)
                _write_csv(file, list(answer.keys()), answer.partitions(_BATCH))
            file.seek(0)
            yield file
    except sa.exc.SQLAlchemyError as error:
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


def _write_csv(file: BinaryIO, header: list[str], batches: Iterator[Any]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    for batch in batches:
        writer.writerows([_as_text(value) for value in row] for row in batch)
    text.flush()
    text.detach()


def _as_text(value: Any) -> Any:
    """Return a value as the registry's CSV writes it: ``true`` or ``false``, ISO 8601 for dates, anything else unchanged.

    NULL is None, for which the writer leaves the field empty.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date | datetime) else value
