"""The warehouse: run named queries, and replace slices, the registry and the stored figures.

Only this package knows a dialect. Everything in the warehouse follows from the slices and the latest registry, so it
can be rebuilt from the landing at any time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from etl import settings, sql
from etl.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Engine

Row = dict[str, Any]

SLICE_TABLES = ("events", "failures", "identities")
REGISTRY_TABLES = ("issuers", "certificates", "recipients", "subscriptions")
FIGURES = {"certificate_statistics": "metric_catalogue", "certificate_shares": "channel_shares"}
"""The tables of stored figures, each with the query that fills it."""

EVERYTHING: Row = {
    "period_end": datetime(9999, 12, 31),
    "issuer_id": None,
    "certificate_id": None,
    "only_stale": False,
    "source": None,
    "load_date": None,
    "only_touched": False,
}
"""The scope parameters of identity_candidates, without any restriction."""


@dataclass(frozen=True)
class Landed:
    """A folder of Parquet files in the landing: its path below the landing, and how to get a local path of it."""

    path: str
    local: Callable[[], AbstractContextManager[Path]]


class Files(Protocol):
    """What an engine that reads the landing in place needs of it."""

    def path(self, *parts: str) -> str:
        """Return the full path of something in the landing."""

    def shown(self, path: str) -> str:
        """Return a full path in the form for other programs: unchanged on a disk, a URL elsewhere."""

    def write(self, path: str, content: bytes) -> None:
        """Write a small file whole or not at all."""

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that it holds. One that is gone is no error."""

    def local_folder(self, path: str) -> AbstractContextManager[Path]:
        """Yield an empty local folder, whose files are at that path of the landing once the block ends without an error."""

    @staticmethod
    def fresh_version() -> str:
        """Return a new, unique folder name."""


@dataclass(frozen=True)
class Stores:
    """The other stores of an installation, for an engine that has no tables of its own: the landing and the state."""

    landing: Files
    state: "Engine"


class Warehouse(Protocol):
    """An open warehouse. All queries between two writes see the same snapshot."""

    def rows(self, stem: str, **parameters: Any) -> list[Row]:
        """Return the rows of the query with that stem in ``sql/statistics`` or ``sql/report``; times are naive UTC.

        Raise a QueryError if a parameter is missing or unknown.
        """

    def replace_slice(self, row: Mapping[str, Any], events: Landed | None) -> None:
        """Replace a slice whole: its landed events (None: no events), and its row of ``slices``."""

    def replace_slices(self, slices: Sequence[tuple[Mapping[str, Any], Landed | None]]) -> None:
        """Replace many slices whole, all or none: for each its row of ``slices`` and its events, as in ``replace_slice``."""

    def record_slice(self, row: Mapping[str, Any]) -> None:
        """Replace a slice's row of ``slices``, and leave its events alone."""

    def holds_registry(self, fingerprint: str) -> bool:
        """Tell whether the registry was loaded from the version of that fingerprint, by the queries of today."""

    def replace_registry(self, registry: Landed, fingerprint: str) -> None:
        """Replace the registry with the landed ``<table>.parquet``. The fingerprint is that of the landed version."""

    def refresh(self, rules: str, **parameters: Any) -> None:
        """Bring the stored figures up to date with what is loaded, and with the rules and their queries."""


def open(
    warehouse: settings.Warehouse, lookup: settings.SecretLookup, *, key_fingerprint: str, stores: Stores | None = None
) -> AbstractContextManager[Warehouse]:
    """Open the warehouse at the configured URL, create missing tables, and close it when the block ends.

    ``key_fingerprint`` identifies the key that hashes addresses. Raise a WarehouseError if the warehouse cannot be
    opened, or if it refuses a statement of the block. The error has only the first line of the driver's message, since
    the others may quote values.
    """
    scheme = warehouse.url.partition(":")[0].partition("+")[0]
    if scheme not in _MODULES:
        raise ConfigurationError(f"warehouse.url must begin with one of {', '.join(_MODULES)}")
    opened: AbstractContextManager[Warehouse] = import_module(_MODULES[scheme]).open(
        warehouse, lookup, key_fingerprint, stores
    )
    return opened


_MODULES = {"duckdb": "etl.warehouse.tables", "postgresql": "etl.warehouse.tables", "sc": "etl.warehouse.spark"}
"""The module of each kind of URL. It is imported for a URL only, because drivers take long to import."""


# What every engine does alike


def with_queries(origin: str, engine: str, stems: Iterable[str]) -> str:
    """Return what rows were made from, with a hash of the queries that make them."""
    queries = "".join(sql.compose(stem, engine).text for stem in stems)
    return f"{origin} {sha256(queries.encode()).hexdigest()}"


def bound(parameters: Mapping[str, Any]) -> Row:
    """Convert aware times to the naive UTC that SQL sees."""
    return {
        name: value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) and value.tzinfo else value
        for name, value in parameters.items()
    }


def plain(row: Mapping[str, Any]) -> Row:
    """Return a row of an answer with its decimals as floats."""
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
