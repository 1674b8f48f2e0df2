"""The warehouse: asks named questions, and replaces slices, the registry and the current figures.

The only place that knows a dialect. Everything in it follows from the slices and the latest registry, so it can be
rebuilt from the landing at any time.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy import URL, Connection, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from etl import settings
from etl.errors import ConfigurationError, WarehouseError, refusal_of
from etl.warehouse import duckdb, postgres, questions

_SLICE_TABLES = ("events", "failures", "identities")
_REGISTRY_TABLES = ("issuers", "certificates", "recipients", "subscriptions")
_FIGURE_TABLES = ("certificate_statistics", "certificate_shares")
_TABLES = (
    *_SLICE_TABLES,
    *_REGISTRY_TABLES,
    *_FIGURE_TABLES,
    "slices",
    "stale_certificates",
    "figure_rules",
    "privacy",
)

_OF_SLICE = "source = :source AND load_date = :load_date"
_STALE = "certificate_id IN (SELECT certificate_id FROM stale_certificates)"
_ALL = "TRUE"


class Engine(Protocol):
    """What an engine's module knows that the others do not."""

    NAME: str

    def connect(self, url: URL) -> Connection:
        """Opens it, or raises what the driver says."""

    def create(self, connection: Connection, statement: str) -> None:
        """Creates a table."""

    def alone(self, connection: Connection) -> AbstractContextManager[None]:
        """Keeps other writers out; readers go on."""

    def land(self, connection: Connection, name: str, files: Sequence[Path], columns: Collection[str]) -> None:
        """Makes at least those columns of Parquet files readable under a name."""


_ENGINES: dict[str, Engine] = {"duckdb": duckdb, "postgresql": postgres}


class Warehouse:
    """An open warehouse. Questions asked between two writes all see the same moment."""

    def __init__(self, connection: Connection, engine: Engine) -> None:
        self._connection, self._engine = connection, engine

    def rows(self, question: str, **parameters: Any) -> list[dict[str, Any]]:
        """The answer to ``sql/statistics/<question>.sql`` or ``sql/report/<question>.sql``; times are naive UTC."""
        statement = text(questions.question(question, self._engine.NAME))
        answer = self._connection.execute(statement, _bound(parameters)).mappings()
        return [{name: _plain(value) for name, value in row.items()} for row in answer]

    def replace_slice(self, row: Mapping[str, Any], events: Path | None) -> None:
        """Replaces a slice whole: the Parquet files of a folder (None: no events), and the slice's row of ``slices``.

        Marks the certificates that its former and its new identities may concern as stale, in the same transaction.
        """
        self._land({"landed_events": (events, _SLICE_TABLES)} if events else {})
        with self._writing():
            self._insert("stale_certificates", self._loading("touched_certificates"), row)
            for table in _SLICE_TABLES:
                self._delete(table, _OF_SLICE, row)
                if events:
                    self._insert(table, self._loading(table), row)
            self._insert("stale_certificates", self._loading("touched_certificates"), row)
            self._record(row)

    def record_slice(self, row: Mapping[str, Any]) -> None:
        """Replaces a slice's row of ``slices`` alone."""
        with self._writing():
            self._record(row)

    def replace_registry(self, folder: Path) -> None:
        """Replaces the registry by a folder's ``<table>.parquet``, and marks stale what it may move."""
        self._land({f"landed_{table}": (folder / f"{table}.parquet", (table,)) for table in _REGISTRY_TABLES})
        with self._writing():
            for changes in ("changed_certificates", "moved_certificates"):
                self._insert("stale_certificates", self._loading(changes), {})
            for table in _REGISTRY_TABLES:
                self._delete(table, _ALL, {})
                self._insert(table, self._loading(table), {})

    def refresh(self, rules: str, **parameters: Any) -> None:
        """Computes the stored figures of the stale certificates again, and of those alone; where rules changed, of all."""
        is_changed = {"rules": rules} not in self.rows("held_rules")
        with self._writing():
            if is_changed:
                self._insert("stale_certificates", self._loading("every_certificate"), {})
                self._delete("figure_rules", _ALL, {})
                self._insert("figure_rules", self._loading("figure_rules"), {"rules": rules})
            for table in _FIGURE_TABLES:
                self._delete(table, _STALE, {})
                self._insert(table, questions.question(table, self._engine.NAME), {**parameters, "only_stale": True})
            self._delete("stale_certificates", _ALL, {})

    def prepare(self, key_fingerprint: str) -> None:
        """Creates what is missing; a WarehouseError where the warehouse was made with another key."""
        if self._missing_tables():
            with self._writing():
                missing = self._missing_tables()  # another process may just have created them
                for table in missing:
                    self._engine.create(self._connection, questions.schema(table))
                if "privacy" in missing:
                    self._insert("privacy", self._loading("privacy"), {"key_fingerprint": key_fingerprint})
        if {"key_fingerprint": key_fingerprint} not in self.rows("held_key"):
            raise WarehouseError(
                "the warehouse was made with another key of addresses; bring the former key back,"
                " or rebuild: empty the warehouse and run nightly --from-landing over all days"
            )

    def _missing_tables(self) -> list[str]:
        existing = inspect(self._connection).get_table_names()
        return [table for table in _TABLES if table not in existing]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._connection.rollback()  # ends the moment that the questions saw
        with self._engine.alone(self._connection), self._connection.begin():
            yield

    def _land(self, landed: Mapping[str, tuple[Path, Sequence[str]]]) -> None:
        for name, (path, tables) in landed.items():
            files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
            wanted = frozenset(column for table in tables for column in self._columns(table))
            self._engine.land(self._connection, name, files, wanted)
        self._connection.commit()

    def _record(self, row: Mapping[str, Any]) -> None:
        self._delete("slices", _OF_SLICE, row)
        self._insert("slices", self._loading("slices"), row)

    def _delete(self, table: str, where: str, parameters: Mapping[str, Any]) -> None:
        delete = f"DELETE FROM {table} WHERE {where}"  # noqa: S608  # both are this module's own words
        self._connection.execute(text(delete), _bound(parameters))

    def _insert(self, table: str, select: str, parameters: Mapping[str, Any]) -> None:
        columns = ", ".join(self._columns(table))
        insert = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM (\n{select}) AS named_rows"  # noqa: S608
        self._connection.execute(text(insert), _bound(parameters))

    def _columns(self, table: str) -> list[str]:
        return list(self._connection.exec_driver_sql(f"SELECT * FROM {table} LIMIT 0").keys())  # noqa: S608

    def _loading(self, stem: str) -> str:
        return questions.loading(stem, self._engine.NAME)


@contextmanager
def open(warehouse: settings.Warehouse, lookup: settings.SecretLookup, *, key_fingerprint: str) -> Iterator[Warehouse]:
    """The warehouse behind the configured URL, with its tables; closed when the block ends.

    ``key_fingerprint`` is of the key that hashes addresses. A WarehouseError says what keeps the warehouse shut, or which
    statement of the block it refused: the first line of its words alone, since others may quote values.
    """
    url, engine = _engine(settings.with_password(warehouse.url, warehouse.secret, lookup))
    try:
        connection = engine.connect(url)
    except DBAPIError as error:
        reason = refusal_of(error)
        raise WarehouseError(f"the warehouse cannot be opened ({reason}); check warehouse.url and its secret") from None
    with connection:
        opened = Warehouse(connection, engine)
        try:
            opened.prepare(key_fingerprint)
            yield opened
        except (DBAPIError, psycopg.Error) as error:
            reason = refusal_of(error)
            raise WarehouseError(
                f"the warehouse gave up ({reason}); nothing was changed, mend the cause and run again"
            ) from None


def _engine(address: str) -> tuple[URL, Engine]:
    try:
        url = make_url(address)
        return url, _ENGINES[url.get_backend_name()]
    except (ArgumentError, KeyError):
        raise ConfigurationError(f"warehouse.url must begin with one of {', '.join(_ENGINES)}") from None


def _bound(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """SQL sees naive UTC."""
    return {
        name: value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) and value.tzinfo else value
        for name, value in parameters.items()
    }


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
