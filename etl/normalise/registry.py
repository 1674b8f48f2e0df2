"""Normalise the registry: turn its landed CSV files into four Parquet tables and a list of rejects.

The rules are SQL (``sql/normalise/registry/``). A row with an unknown issuer, a bad date or a duplicate id, for example, is
left out and listed as a reject with its reason. The other rows are kept.
"""

import csv
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from zoneinfo import available_timezones

import duckdb
import pyarrow as pa

from etl import settings
from etl.errors import RegistryError
from etl.landing import Counts, Landing, Manifest
from etl.normalise import documents
from etl.normalise.session import bind, connected, relation

HEADERS = {
    "issuers": ("issuer_id", "name", "logo", "color"),
    "certificates": ("certificate_id", "issuer_id", "name", "kind", "created_at"),
    "recipients": (
        "recipient_id",
        "certificate_id",
        "email",
        "name",
        "message_id",
        "access_email_sent_at",
        "created_at",
    ),
    "subscriptions": ("subscription_id", "issuer_id", "email", "frequency", "timezone", "locale", "paused"),
}
_OPTIONAL = ("logo", "color")
_KEPT_SHARE = 0.9
_LONGEST_FIELD = 1 << 20  # room for a logo; also how far the CSV reader follows a quote that is not closed
_BATCH = 50_000
_READ_AGAIN = 4  # how often the registry's text may be read again, because bad quotes took in other lines


def normalise_registry(
    landing: Landing,
    limits: settings.Normalise,
    *,
    hash_key: str,
    forgotten: Iterable[str],
    replace: bool = False,
) -> Manifest:
    """Normalise the newest landed registry, and publish it as valid.

    In the manifest ``counts.event`` is the number of rows kept, ``counts.reject`` of those left out. Raise a RegistryError
    if a table or column is missing, or, unless ``replace``, if the kept rows are under 90 % of those of the loaded version.
    """
    manifest = landing.newest("registry")
    if manifest is None:
        raise RegistryError("no registry was landed; pull it first")
    classified = _classified(landing, limits, manifest, hash_key=hash_key, forgotten=list(forgotten))
    landing.publish(classified)
    if not replace:
        _require_kept_share(classified.counts, landing.loaded("registry"))
    valid = classified.model_copy(update={"status": "valid"})
    landing.publish(valid)
    return valid


def _classified(
    landing: Landing, limits: settings.Normalise, manifest: Manifest, *, hash_key: str, forgotten: list[str]
) -> Manifest:
    """Write the four tables and the rejects, and return the manifest that names them."""
    version = landing.fresh_version()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = stack.enter_context(landing.local_folder(landing.path("registry", version)))
        connection = stack.enter_context(connected(limits, scratch))
        bind(connection, hash_key=hash_key, forgotten=forgotten, timezones=sorted(available_timezones()))
        for raw in manifest.raw:
            path = stack.enter_context(landing.local(landing.path("registry", raw.path)))
            _read(connection, raw.origin, documents.clean(path, "lines", scratch).path)
        counts = _write(connection, folder)
    places = {"events": f"{version}/tables", "rejects": f"{version}/rejects.parquet"}
    return manifest.model_copy(update={**places, "counts": counts, "status": "normalised", "reason": None})


def _require_kept_share(counts: Counts, loaded: Manifest | None) -> None:
    if loaded and counts.event < _KEPT_SHARE * loaded.counts.event:
        raise RegistryError(
            f"the registry has {counts.event} rows, under 90 % of the {loaded.counts.event} before, which stay;"
            " if that is right, re-run with --replace"
        )


def _read(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    """Create a table ``raw_<table>`` from a CSV file: its columns as texts, with ``line`` and ``is_malformed``.

    Only optional columns may be missing; they are NULL. A row that does not fit the header is malformed and has NULL in all
    columns of the file.
    """
    with path.open(encoding="utf-8-sig", newline="\n") as text:
        found = records(text)
        header = [name.strip() for name in next(found, (0, []))[1] or ()]
        missing = [name for name in HEADERS[table] if name not in header and name not in _OPTIONAL]
        if missing:
            raise RegistryError(
                f"the registry's {table} has no column {missing[0]}; it needs {', '.join(HEADERS[table])}"
            )
        places = [header.index(name) if name in header else None for name in HEADERS[table]]
        schema = pa.schema(
            [("line", pa.int64()), ("is_malformed", pa.bool_()), *((name, pa.string()) for name in HEADERS[table])]
        )
        connection.from_arrow(pa.Table.from_batches(_batches(found, places, schema), schema)).create(f"raw_{table}")


def _batches(records: Iterator["_Record"], places: list[int | None], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the records as Arrow batches of ``_BATCH`` rows."""
    while batch := list(islice(records, _BATCH)):
        lines = [line for line, _ in batch]
        nothing = [None] * len(batch)
        columns = [nothing if place is None else [values and values[place] for _, values in batch] for place in places]
        yield pa.record_batch([lines, [values is None for _, values in batch], *columns], schema)


_Record = tuple[int, list[str] | None]
"""The line on which a CSV record begins, and its fields, or None if it does not fit the header."""


class _Lines:
    """An iterator over the lines of a text, which can take back the lines of the current record.

    A record may take in at most ``room`` further characters, so that the time does not grow with the square of the text.
    """

    def __init__(self, text: Iterable[str]) -> None:
        self.text, self.waiting, self.taken = iter(text), deque[str](), list[str]()
        self.room, self.size = _READ_AGAIN * _LONGEST_FIELD, 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.taken and self.size > self.room:
            raise csv.Error("bad quotes took in too many lines")
        self.taken.append(self.waiting.popleft() if self.waiting else next(self.text))
        self.size += len(self.taken[-1])
        return self.taken[-1]

    def end_record(self) -> None:
        """Keep all lines of the current record."""
        self.room += _READ_AGAIN * self.size
        self.taken.clear()
        self.size = 0

    def keep_first(self) -> None:
        """Take back all lines of the current record but the first, so that they are read again."""
        self.room += _READ_AGAIN * len(self.taken[0]) - self.size
        self.waiting.extendleft(reversed(self.taken[1:]))
        self.taken.clear()
        self.size = 0


def records(text: Iterable[str]) -> Iterator[_Record]:
    """Yield the records of a CSV file, the header first.

    If a record cannot be read, only its first line is lost: reading goes on with the second.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    lines, line, width = _Lines(text), 1, 0
    while True:
        try:
            for values in csv.reader(lines, strict=True):
                width = width or len(values)
                if len(values) not in (0, width) and len(lines.taken) > 1:
                    raise csv.Error("a quote that was not closed took other lines in")
                if values:
                    yield line, values if len(values) == width else None
                line += len(lines.taken)
                lines.end_record()
        except csv.Error:
            lines.keep_first()
            yield line, None
            line += 1
        else:
            return


def _write(connection: duckdb.DuckDBPyConnection, folder: Path) -> Counts:
    (folder / "tables").mkdir()
    for table in HEADERS:
        relation(connection, f"registry/{table}").create(table)
        connection.table(table).filter("reason IS NULL").write_parquet(str(folder / "tables" / f"{table}.parquet"))
    rejects = relation(connection, "registry/rejects")
    rejects.write_parquet(str(folder / "rejects.parquet"))
    kept = sum(len(connection.table(table).filter("reason IS NULL")) for table in HEADERS)
    left_out = len(rejects)
    return Counts(raw=kept + left_out, event=kept, reject=left_out)
