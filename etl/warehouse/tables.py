"""The warehouse of tables: slices, registry and figures are replaced by DELETE and INSERT, on DuckDB and PostgreSQL."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from sqlalchemy import URL, Connection, CursorResult, TextClause, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from etl import settings, sql
from etl.errors import ConfigurationError, WarehouseError, refusal_of
from etl.warehouse import (
    EVERYTHING,
    FIGURES,
    REGISTRY_TABLES,
    SLICE_TABLES,
    Landed,
    Row,
    Stores,
    bound,
    plain,
    with_queries,
)

_ADDED = {"slices": {"version": "VARCHAR"}, "subscriptions": {"detail": "VARCHAR DEFAULT 'recipients'"}}
"""The columns that tables of release 0.1 lack, each with its type and the value of the rows that are there."""

_EVERY_IDENTITY: Row = {"source": None, "load_date": None, "only_touched": False}
_OF_SLICE = "source = :source AND load_date = :load_date"
_STALE = "certificate_id IN (SELECT certificate_id FROM stale_certificates)"
_ALL = "TRUE"


class Engine(Protocol):
    """The operations that differ between engines."""

    NAME: str
    ERRORS: tuple[type[Exception], ...]
    """The errors of a statement: those that SQLAlchemy wraps, and those of the driver that reach us as they are."""

    def connect(self, url: URL) -> Connection:
        """Open the database, or raise the driver's own error."""

    def create(self, connection: Connection, statement: str) -> None:
        """Create a table."""

    def execute(self, connection: Connection, statement: TextClause) -> CursorResult[Any]:
        """Run a statement whose parameters are set."""

    def writing(self, connection: Connection, only: str | None) -> AbstractContextManager[None]:
        """Keep other writers out until the block ends, or those of one slice where it is named. Readers are not blocked."""

    def stage_parquet(self, connection: Connection, name: str, files: Sequence[Path], columns: Collection[str]) -> None:
        """Make Parquet files readable under a name, with at least those columns."""

    def note_growth(self, connection: Connection, table: str, count: int) -> None:
        """Let the engine's planner know of so many new rows, if it would not know of them at once."""


_ENGINES = {"duckdb": "etl.warehouse.duckdb", "postgresql": "etl.warehouse.postgres"}
"""The module of each engine by the URL's backend. It is imported for a URL only, because drivers take long to import."""


class TableWarehouse:
    """An open warehouse of tables, as ``Warehouse`` describes it."""

    def __init__(self, connection: Connection, engine: Engine) -> None:
        self._connection, self._engine = connection, engine

    def rows(self, stem: str, **parameters: Any) -> list[Row]:
        """Return the rows of the query with that stem in ``sql/statistics`` or ``sql/report``; times are naive UTC.

        Raise a QueryError if a parameter is missing or unknown.
        """
        query = self._query(stem)
        query.check(parameters)
        answer = self._execute(query.text, parameters).mappings()
        return [plain(dict(row)) for row in answer]

    def replace_slice(self, row: Mapping[str, Any], events: Landed | None) -> None:
        """Replace a slice whole: its landed events (None: no events), and its row of ``slices``.

        In the same transaction, mark as stale the certificates that its former or its new identities may concern.
        """
        slice_of_row = {name: row[name] for name in ("source", "load_date")}
        with self._staged([events] if events else []), self._writing(slice_of_row):
            self._mark_touched(**slice_of_row)
            for table in SLICE_TABLES:
                self._delete(table, _OF_SLICE, slice_of_row)
                if events:
                    self._insert(table, table)
            self._mark_touched(**slice_of_row)
            self._record(row)

    def replace_slices(self, slices: Sequence[tuple[Mapping[str, Any], Landed | None]]) -> None:
        """Replace many slices whole, all or none: for each its row of ``slices`` and its events, as in ``replace_slice``.

        In the same transaction, mark all certificates as stale: to find those that many slices concern takes longer than to
        compute their figures again.
        """
        landed = [events for _, events in slices if events]
        with self._staged(landed), self._writing():
            for row, _ in slices:
                for table in SLICE_TABLES:
                    self._delete(table, _OF_SLICE, {name: row[name] for name in ("source", "load_date")})
                self._record(row)
            for table in SLICE_TABLES if landed else ():
                self._insert(table, table)
            self._insert("stale_certificates", "every_certificate")

    def record_slice(self, row: Mapping[str, Any]) -> None:
        """Replace a slice's row of ``slices``, and leave its events alone."""
        with self._writing({name: row[name] for name in ("source", "load_date")}):
            self._record(row)

    def holds_registry(self, fingerprint: str) -> bool:
        """Tell whether the registry was loaded from the version of that fingerprint, by the queries of today."""
        return {"fingerprint": with_queries(fingerprint, self._engine.NAME, REGISTRY_TABLES)} in self.rows(
            "held_registry"
        )

    def replace_registry(self, registry: Landed, fingerprint: str) -> None:
        """Replace the registry with the landed ``<table>.parquet``, and mark as stale the certificates it may concern.

        The fingerprint is that of the landed version. A changed recipient may gain or lose events that could also match
        another recipient. Therefore the identities that recipients of the changed certificates could match, before and
        after the change, decide which other certificates are stale.
        """
        with self._staged_registry(registry), self._writing():
            self._insert("stale_certificates", "changed_certificates")
            self._insert("touched_identities", "touched_identities", **EVERYTHING | {"only_stale": True})
            for table in REGISTRY_TABLES:
                self._delete(table, _ALL, {})
                self._insert(table, table)
            self._insert("touched_identities", "touched_identities", **EVERYTHING | {"only_stale": True})
            self._mark_touched(only_touched=True)
            self._delete("touched_identities", _ALL, {})
            self._delete("registry_fingerprint", _ALL, {})
            held = with_queries(fingerprint, self._engine.NAME, REGISTRY_TABLES)
            self._insert("registry_fingerprint", "registry_fingerprint", fingerprint=held)

    def refresh(self, rules: str, **parameters: Any) -> None:
        """Recompute the stored figures of the stale certificates, or of all if the rules or their queries changed."""
        rules = with_queries(rules, self._engine.NAME, FIGURES.values())
        is_changed = {"rules": rules} not in self.rows("held_rules")
        with self._writing():
            if is_changed:
                self._insert("stale_certificates", "every_certificate")
                self._delete("figure_rules", _ALL, {})
                self._insert("figure_rules", "figure_rules", rules=rules)
            for table, query in FIGURES.items():
                self._delete(table, _STALE, {})
                self._insert(table, query, **parameters | {"only_stale": True})
            self._delete("stale_certificates", _ALL, {})

    def prepare(self, key_fingerprint: str) -> None:
        """Create the missing tables and columns. Raise a WarehouseError if the warehouse was made with another key."""
        if self._missing_tables():
            with self._writing():
                missing = self._missing_tables()  # another process may just have created them
                for table in missing:
                    self._engine.create(self._connection, sql.read("schema", table).text)
                if "privacy" in missing:
                    self._insert("privacy", "privacy", key_fingerprint=key_fingerprint)
        for table, columns in _ADDED.items():
            for column in columns.keys() - set(self._columns(table)):
                with self._writing():
                    self._engine.create(
                        self._connection, f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {columns[column]}"
                    )
        for table in sorted(sql.tables()):
            if set(self._columns(table)) != sql.columns(table).keys():
                raise WarehouseError(
                    f"the warehouse's table {table} was made by another release; empty the warehouse, then run rebuild"
                )
        if {"key_fingerprint": key_fingerprint} not in self.rows("held_key"):
            raise WarehouseError(
                "the warehouse was made with another key of addresses; bring the former key back,"
                " or empty the warehouse, then run rebuild"
            )

    def _execute(self, statement: str, parameters: Mapping[str, Any]) -> CursorResult[Any]:
        return self._engine.execute(self._connection, text(statement).bindparams(**bound(parameters)))

    def _query(self, stem: str) -> sql.Query:
        return sql.compose(stem, self._engine.NAME)

    def _missing_tables(self) -> list[str]:
        existing = inspect(self._connection).get_table_names()
        return [table for table in sorted(sql.tables()) if table not in existing]

    @contextmanager
    def _writing(self, only: Row | None = None) -> Iterator[None]:
        """Write in one transaction until the block ends. A write that names its slice lets those of other slices go on."""
        self._connection.rollback()  # ends the snapshot that the queries saw
        name = f"{only['source']} {only['load_date']}" if only else None
        with self._engine.writing(self._connection, name), self._connection.begin():
            yield

    @contextmanager
    def _staged(self, landed: Sequence[Landed]) -> Iterator[None]:
        """Make landed events readable until the block ends."""
        with ExitStack() as stack:
            folders = [stack.enter_context(events.local()) for events in landed]
            self._stage({"landed_events": (folders, SLICE_TABLES)} if folders else {})
            yield

    @contextmanager
    def _staged_registry(self, registry: Landed) -> Iterator[None]:
        with registry.local() as folder:
            self._stage({f"landed_{table}": ([folder / f"{table}.parquet"], (table,)) for table in REGISTRY_TABLES})
            yield

    def _stage(self, landed: Mapping[str, tuple[Sequence[Path], Sequence[str]]]) -> None:
        for name, (paths, tables) in landed.items():
            files = [file for path in paths for file in (sorted(path.glob("*.parquet")) if path.is_dir() else [path])]
            wanted = frozenset(column for table in tables for column in self._columns(table))
            self._engine.stage_parquet(self._connection, name, files, wanted)
        self._connection.commit()

    def _mark_touched(self, **scope: Any) -> None:
        """Mark the certificates as stale whose figures the identities in scope may change."""
        self._insert("stale_certificates", "touched_certificates", **_EVERY_IDENTITY | scope)

    def _record(self, row: Mapping[str, Any]) -> None:
        self._delete("slices", _OF_SLICE, {name: row[name] for name in ("source", "load_date")})
        self._insert("slices", "slices", **row)

    def _delete(self, table: str, where: str, parameters: Mapping[str, Any]) -> None:
        delete = f"DELETE FROM {table} WHERE {where}"  # noqa: S608  # both come from this module
        self._execute(delete, parameters)

    def _insert(self, table: str, stem: str, **parameters: Any) -> None:
        """Insert the rows of a named query into a table, column by column."""
        query = self._query(stem)
        query.check(parameters)
        columns = ", ".join(self._columns(table))
        insert = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM (\n{query.text}) AS named_rows"  # noqa: S608
        inserted = self._execute(insert, parameters)
        self._engine.note_growth(self._connection, table, inserted.rowcount)

    def _columns(self, table: str) -> list[str]:
        return list(self._connection.exec_driver_sql(f"SELECT * FROM {table} LIMIT 0").keys())  # noqa: S608


@contextmanager
def open(
    warehouse: settings.Warehouse,
    lookup: settings.SecretLookup,
    key_fingerprint: str,
    stores: Stores | None,  # noqa: ARG001  # tables need no other store
) -> Iterator[TableWarehouse]:
    """Open the tables at the configured URL, as ``etl.warehouse.open`` says."""
    url, engine = _engine(settings.with_password(warehouse.url, warehouse.secret, lookup))
    try:
        connection = engine.connect(url)
    except DBAPIError as error:
        reason = refusal_of(error, url.password)
        raise WarehouseError(f"the warehouse cannot be opened ({reason}); check warehouse.url and its secret") from None
    with connection:
        opened = TableWarehouse(connection, engine)
        try:
            opened.prepare(key_fingerprint)
            yield opened
        except engine.ERRORS as error:
            reason = refusal_of(error, url.password)
            raise WarehouseError(
                f"the warehouse gave up ({reason}); nothing was changed, mend the cause and run again"
            ) from None


def _engine(address: str) -> tuple[URL, Engine]:
    try:
        url = make_url(address)
        module = _ENGINES[url.get_backend_name()]
    except (ArgumentError, KeyError, ValueError):  # ValueError: a port that is no number
        raise ConfigurationError(f"warehouse.url must begin with one of {', '.join(_ENGINES)}") from None
    return url, cast("Engine", import_module(module))
