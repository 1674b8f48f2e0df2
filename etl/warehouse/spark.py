"""Apache Spark by Spark Connect. The landed Parquet of the loaded versions is the warehouse, and is read in place.

The server keeps nothing. Which version of which slice, and of the registry, is loaded is a row in the database of the
state, swapped in one transaction. An open warehouse asks for these rows once and keeps to them until it writes, so its
queries agree with one another. The files of a version that was replaced stay for as long as the retention keeps any
superseded version.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import parquet

from etl import settings, sql
from etl.errors import ConfigurationError, WarehouseError, refusal_of
from etl.warehouse import FIGURES, REGISTRY_TABLES, SLICE_TABLES, Landed, Row, Stores, bound, plain, with_queries
from etl.warehouse.versions import Versions

NAME = "spark"

_LANDED_COLUMNS = {"landed_events": SLICE_TABLES, **{f"landed_{table}": (table,) for table in REGISTRY_TABLES}}
_COUNTED = ("event_count",)
"""Columns of the tables of a slice that the queries compute; the landed events do not have them."""

_TYPES = {
    "VARCHAR": ("STRING", pa.string()),
    "BIGINT": ("BIGINT", pa.int64()),
    "BOOLEAN": ("BOOLEAN", pa.bool_()),
    "DATE": ("DATE", pa.date32()),
    "TIMESTAMP": ("TIMESTAMP_NTZ", pa.timestamp("us")),
    "DOUBLE PRECISION": ("DOUBLE", pa.float64()),
}
"""The types of ``sql/schema``, as Spark and Arrow call them."""

_STEPS = frozenset(
    {
        "scoped_identities",
        "timed_clicks",
        "recipient_states",
        "certificate_figures",
        "recipient_todos",
        "latest_bounces",
    }
)
"""The queries whose answers are written once for a scope, where others read them.

An engine plans and computes a common table expression once for each place that names it, and these name one another
over and over: without them a question of 30 expressions reads a table up to 500 times.
"""


class SparkWarehouse:
    """An open warehouse on Spark, as ``Warehouse`` describes it."""

    def __init__(self, session: Any, stores: Stores) -> None:
        self._session, self._landing = session, stores.landing
        self._versions = Versions(stores.state)
        self._folder = stores.landing.path("answers", stores.landing.fresh_version())
        self._pin()

    def rows(self, stem: str, **parameters: Any) -> list[Row]:
        """Return the rows of a named query; times are naive UTC."""
        return [plain(row) for row in self._answer(stem, parameters).to_pylist()]

    def replace_slice(self, row: Mapping[str, Any], events: Landed | None) -> None:
        """Replace a slice whole: its landed events (None: no events), and its row of ``slices``."""
        self.replace_slices([(row, events)])

    def replace_slices(self, slices: Sequence[tuple[Mapping[str, Any], Landed | None]]) -> None:
        """Replace many slices whole, all or none, once the server has read as many of their rows as were landed."""
        new = [
            bound(row)
            | {"events_path": events.path if events else None, "landed_count": row["event_count"] if events else None}
            for row, events in slices
        ]
        self._shown.clear()
        self._require_rows("landed_events", new)
        former = {_key(row): row["events_path"] for row in self._versions.slices()}
        for row in new:
            self._supersede(former.get(_key(row)), row["events_path"])
        self._versions.replace_slices(new)
        self._pin()

    def record_slice(self, row: Mapping[str, Any]) -> None:
        """Replace a slice's row of ``slices``, and leave its events alone."""
        self._versions.replace_slices([bound(row)])
        self._pin()

    def holds_registry(self, fingerprint: str) -> bool:
        """Tell whether the registry was loaded from the version of that fingerprint, by the queries of today."""
        return self._facts.get("registry_fingerprint") == with_queries(fingerprint, NAME, REGISTRY_TABLES)

    def replace_registry(self, registry: Landed, fingerprint: str) -> None:
        """Replace the registry with the landed ``<table>.parquet``, once the server has read all four."""
        for table in REGISTRY_TABLES:
            self._read([f"{registry.path}/{table}.parquet"], (table,)).limit(1).toArrow()
        self._supersede(self._versions.facts().get("registry"), registry.path)
        held = with_queries(fingerprint, NAME, REGISTRY_TABLES)
        self._versions.replace_facts({"registry": registry.path, "registry_fingerprint": held})
        self._pin()

    def refresh(self, rules: str, **parameters: Any) -> None:
        """Recompute the stored figures of all certificates if a version, the rules or their queries changed.

        Only the changed ones would take as long: either way Spark reads all events. The figures are small, so they come
        here and are written to the landing from here, as everything else in it. Where another process has swapped the
        figures meanwhile, look again.
        """
        rules = with_queries(rules, NAME, FIGURES.values())
        while not self._refreshed(rules, parameters):
            self._pin()

    def prepare(self, key_fingerprint: str) -> None:
        """Record the key of a new warehouse. Raise a WarehouseError if the warehouse was made with another key."""
        if "privacy" not in self._facts and self._versions.swap_fact("privacy", None, key_fingerprint):
            self._pin()
        if self._versions.facts()["privacy"] != key_fingerprint:
            raise WarehouseError(
                "the warehouse was made with another key of addresses; bring the former key back,"
                " or empty the warehouse, then run rebuild"
            )

    def close(self) -> None:
        """Remove what the server wrote for this session. What a killed process leaves, the retention removes."""
        self._landing.remove(self._folder)

    def _pin(self) -> None:
        """Keep to the versions that are loaded now."""
        self._slices, self._facts = self._versions.slices(), self._versions.facts()
        self._shown: dict[str, Row] = {}
        self._written: dict[str, Any] = {}

    def _answer(self, stem: str, parameters: Mapping[str, Any]) -> pa.Table:
        sql.compose(stem, NAME).check(parameters)
        return self._asked(stem, bound(parameters)).toArrow()

    def _asked(self, stem: str, parameters: Row) -> Any:
        """Return the frame of a named query, once all that it reads is readable."""
        from etl.warehouse import connect  # noqa: PLC0415  # imports pyspark

        query = sql.compose(stem, NAME, apart=_STEPS - {stem})
        for name in sorted(query.reads):
            self._show(name, parameters)
        return self._session.sql(query.text, args=connect.literals({name: parameters[name] for name in query.params}))

    def _refreshed(self, rules: str, parameters: Mapping[str, Any]) -> bool:
        """Store the figures of the pinned versions unless they are; return False where another process stored others."""
        former = self._facts.get("figures")
        held = json.loads(former) if former else {}
        versions = sorted((*map(str, _key(row)), row["events_path"] or "") for row in self._slices)
        origin = {
            "rules": rules,
            "versions": sha256(json.dumps([self._facts.get("registry"), versions]).encode()).hexdigest(),
        }
        if held.items() >= origin.items():
            return True
        folder = f"figures/{self._landing.fresh_version()}"
        with self._landing.local_folder(self._landing.path(folder)) as local:
            for table, stem in FIGURES.items():
                parquet.write_table(self._answer(stem, parameters), local / f"{table}.parquet")
        stored = origin | {"folder": folder, "former": held.get("folder")}
        if not self._versions.swap_fact("figures", former, json.dumps(stored)):
            self._landing.remove(self._landing.path(folder))
            return False
        if held.get("former"):  # whoever still reads figures reads the former ones, not those before
            self._landing.remove(self._landing.path(held["former"]))
        self._pin()
        return True

    # What the queries read

    def _show(self, name: str, parameters: Row) -> None:
        """Make a table, landed files, or the answer of a step readable under its name in the session."""
        scope = {each: parameters[each] for each in sql.compose(name, NAME).params} if name in _STEPS else {}
        if self._shown.get(name) != scope:
            frame = self._step(name, scope) if name in _STEPS else self._frame(name)
            frame.createOrReplaceTempView(name)
            self._shown[name] = scope

    def _step(self, stem: str, scope: Row) -> Any:
        """Have the server write the answer of a query, and return what it wrote."""
        key = f"{stem} {sorted(scope.items())}"
        if key not in self._written:
            url = self._shown_url(f"{self._folder}/{self._landing.fresh_version()}")
            frame = self._asked(stem, scope)
            frame.write.parquet(url)
            self._written[key] = self._session.read.schema(frame.schema).parquet(url)
        return self._written[key]

    def _frame(self, table: str) -> Any:
        if table == "landed_events":
            loaded = [row for row in self._slices if row["events_path"]]
            return self._require_rows(table, loaded) if loaded else self._small(table, [])
        if table.startswith("landed_"):
            paths = [f"{self._facts['registry']}/{table.removeprefix('landed_')}.parquet"]
            return self._read(paths, _LANDED_COLUMNS[table])
        if table in SLICE_TABLES or (table in REGISTRY_TABLES and "registry" in self._facts):
            query = sql.compose(table, NAME)
            for name in query.reads:
                self._show(name, {})
            unsorted = query.text.partition("\nORDER BY")[0]  # a view is read for each query, and none needs its order
            return self._session.sql(unsorted)
        if table in FIGURES and "figures" in self._facts:
            folder = json.loads(self._facts["figures"])["folder"]
            return self._read([f"{folder}/{table}.parquet"], (table,))
        return self._small(table, self._slices if table == "slices" else self._fact_rows(table))

    def _fact_rows(self, table: str) -> list[Row]:
        """Return the row of a table that holds one fact; none of any other."""
        facts = {"figure_rules": json.loads(self._facts.get("figures", "{}")).get("rules")} | self._facts
        return [dict.fromkeys(sql.columns(table), facts[table])] if facts.get(table) else []

    def _require_rows(self, name: str, slices: Sequence[Row]) -> Any:
        """Return the landed events of slices. Raise a WarehouseError where the server reads fewer or more than were landed.

        A path that is gone is an error on Spark, and no rows on Sail.
        """
        paths = [row["events_path"] for row in slices if row["events_path"]]
        if not paths:
            return None
        frame = self._read(paths, _LANDED_COLUMNS[name])
        frame.createOrReplaceTempView(name)
        counted = self._session.sql(sql.compose("landed_slices", NAME).text).toArrow().to_pylist()
        found = {_key(row): row["event_count"] for row in counted}
        for row in slices:
            count = found.get(_key(row), 0)
            if row["events_path"] and count != row["landed_count"]:
                raise WarehouseError(
                    f"{row['source']} {row['load_date']}: the server reads {count} of {row['landed_count']} landed events;"
                    " let every worker reach landing.url, then rebuild the day"
                )
        return frame

    def _read(self, paths: Sequence[str], tables: Sequence[str]) -> Any:
        """Return Parquet files of the landing, with the columns of those tables; a column that they lack is NULL."""
        types = {name: kind for table in tables for name, kind in sql.columns(table).items() if name not in _COUNTED}
        schema = ", ".join(f"{name} {_TYPES[kind][0]}" for name, kind in types.items())
        return self._session.read.schema(schema).parquet(*map(self._url, paths))

    def _small(self, table: str, rows: Sequence[Row]) -> Any:
        """Return rows that come from here."""
        names = _LANDED_COLUMNS.get(table, (table,))
        types = {name: _TYPES[kind] for each in names for name, kind in sql.columns(each).items()}
        if not rows:
            nulls = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, (kind, _) in types.items())
            return self._session.sql(f"SELECT {nulls} LIMIT 0")
        schema = pa.schema([(name, kind) for name, (_, kind) in types.items()])
        return self._session.createDataFrame(pa.Table.from_pylist(list(rows), schema))

    def _url(self, path: str) -> str:
        return self._shown_url(self._landing.path(path))

    def _shown_url(self, path: str) -> str:
        shown = self._landing.shown(path)
        return shown if "://" in shown else f"file://{shown}"

    def _supersede(self, former: str | None, path: str | None) -> None:
        """Keep the files of the former version for a while: the retention counts from the newest file of a version."""
        if former and former != path:
            self._landing.write(self._landing.path(former.rpartition("/")[0], "superseded"), b"")


@contextmanager
def open(
    warehouse: settings.Warehouse, lookup: settings.SecretLookup, key_fingerprint: str, stores: Stores | None
) -> Iterator[SparkWarehouse]:
    """Open the warehouse at a Connect server's URL, as ``etl.warehouse.open`` says."""
    if stores is None:
        raise ConfigurationError("warehouse.url: Spark reads the landing in place, and no landing was given")
    try:
        from etl.warehouse import connect  # noqa: PLC0415  # imports pyspark, which takes seconds
    except ImportError:
        raise ConfigurationError(
            "warehouse.url begins with sc://, which needs the extra spark; install certificate-badge-analytics[spark]"
        ) from None
    secret = settings.require(warehouse.secret, lookup) if warehouse.secret else None
    address = connect.with_token(warehouse.url, secret)
    hidden = [secret, *_tokens(warehouse.url)]
    try:
        session = connect.session(address)
    except connect.ERRORS as error:
        reason = refusal_of(error, *hidden)
        raise WarehouseError(f"the warehouse cannot be opened ({reason}); check warehouse.url and its secret") from None
    try:
        opened = SparkWarehouse(session, stores)
        opened.prepare(key_fingerprint)
        with closing(opened):
            yield opened
    except connect.ERRORS as error:
        reason = refusal_of(error, *hidden)
        raise WarehouseError(
            f"the warehouse gave up ({reason}); nothing was changed, mend the cause and run again"
        ) from None
    finally:
        session.stop()


def _key(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row["source"], row["load_date"]


def _tokens(url: str) -> list[str]:
    """Return the tokens that a URL has itself."""
    options = (part.partition("=") for part in url.split(";")[1:])
    return [form for name, _, value in options if name == "token" for form in (value, unquote(value))]
