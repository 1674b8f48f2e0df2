"""Normalise the registry: turn its landed CSV files into four Parquet tables and a list of rows.

The rules are SQL (``sql/normalise/registry/``). A row with an unknown issuer, a bad date or a duplicate id, for example, is
left out and listed with its reason. The other rows are kept. A kept row is listed, too, where something of it is unusual or
was left out, as a logo that is too large.
"""

import hmac
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from zoneinfo import available_timezones

import duckdb

from etl import mailbox, settings, sql
from etl import scratch as temporary
from etl.errors import RegistryError
from etl.landing import Counts, Landing, Manifest
from etl.normalise import spreadsheets
from etl.normalise.session import FOLDER, bind, connected, relation

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
_ADDED = {"subscriptions": ("detail",)}  # optional columns that release 0.1 did not have
_UNREADABLE = "unreadable_columns"  # of a database's rows: the numbers of columns whose values have no text
_UNDECODABLE = "has bytes that cannot be decoded; they became U+FFFD"
_DECORATIONS = ("logo", "color")
_KEPT_SHARE = 0.9
_LONGEST_FIELD = 1 << 20  # characters: room for a logo
_LONGEST_NAME = 40  # characters of a column's name that an error shows
_BATCH = 50_000
_NO_FIELD = "\x01"  # no text for DuckDB's reader; a file that has it is read by ours
_NO_TEXT = "CAST(NULL AS VARCHAR)"


def normalise_registry(
    landing: Landing,
    limits: settings.Normalise,
    *,
    hash_key: str,
    forgotten: Collection[str],
    replace: bool = False,
) -> Manifest:
    """Normalise the newest landed registry, and publish it as valid.

    In the manifest ``counts.event`` is the number of rows kept, ``counts.reject`` of those left out, and ``counts.ignored``
    of the forgotten recipients. ``tables`` has the same for each table, and ``fingerprint`` is that of the files. ``warnings``
    say what the loaded version's list did not have. Raise a RegistryError if a table or column is missing, or, unless
    ``replace``, if a table has under 90 % of the rows of the loaded version.
    """
    manifest = landing.newest("registry")
    if manifest is None:
        raise RegistryError("no registry was landed; pull it first")
    loaded = landing.loaded("registry")
    classified = _classified(landing, limits, manifest, hash_key=hash_key, forgotten=list(forgotten))
    known = fingerprint(manifest, hash_key=hash_key, forgotten=forgotten)
    warnings = _warnings(landing, classified, loaded)
    classified = classified.model_copy(update={"fingerprint": known, "warnings": warnings})
    landing.publish(classified)
    if not replace and loaded:
        _require_kept_share(classified.tables, _kept_rows(landing, loaded))
    valid = classified.model_copy(update={"status": "valid"})
    landing.publish(valid)
    return valid


def fingerprint(manifest: Manifest, *, hash_key: str, forgotten: Collection[str]) -> str:
    """Return a keyed hash of all that the tables of a landed registry follow from.

    That is: the bytes of its files, the key of the hashes of addresses, the forgotten ids, and the rules.
    """
    files = sorted((raw.origin, raw.sha256) for raw in manifest.raw)
    known = json.dumps([files, sorted(forgotten), _rules()])
    return hmac.new(hash_key.encode(), known.encode(), sha256).hexdigest()


@cache
def _rules() -> str:
    """Return a hash of what decides about a row: our SQL and Python, DuckDB's version and the known time zones."""
    folders = (sql.ROOT / FOLDER / "registry", sql.ROOT / FOLDER / "macros", Path(__file__).parent)
    files = (file for folder in folders for file in sorted(folder.iterdir()) if file.suffix in (".sql", ".py"))
    texts = [file.read_text() for file in (*files, Path(mailbox.__file__))]
    return sha256(json.dumps([texts, duckdb.__version__, sorted(available_timezones())]).encode()).hexdigest()


def _classified(
    landing: Landing, limits: settings.Normalise, manifest: Manifest, *, hash_key: str, forgotten: list[str]
) -> Manifest:
    """Write the four tables and the list, and return the manifest that names them."""
    version = landing.fresh_version()
    with ExitStack() as stack:
        scratch = stack.enter_context(temporary.folder())
        folder = stack.enter_context(landing.local_folder(landing.path("registry", version)))
        connection = stack.enter_context(connected(limits, scratch))
        bind(connection, hash_key=hash_key, forgotten=forgotten, timezones=sorted(available_timezones()))
        encodings = {}
        for raw in manifest.raw:
            path = stack.enter_context(landing.local(landing.path("registry", raw.path)))
            encodings[raw.origin] = _read(connection, raw.origin, path)
        bind(connection, assumed_encodings=[table for table, encoding in encodings.items() if encoding.is_assumed])
        tables = _write(connection, folder)
    counts = Counts(**{name: sum(getattr(each, name) for each in tables.values()) for name in Counts.model_fields})
    places = {"events": f"{version}/tables", "rejects": f"{version}/rejects.parquet", "tables": tables}
    return manifest.model_copy(update={**places, "counts": counts, "status": "normalised", "reason": None})


def _require_kept_share(tables: dict[str, Counts], loaded: dict[str, int]) -> None:
    """Raise a RegistryError that names each table that lost over a tenth of its rows. Forgotten recipients are no loss."""
    lost = [
        f"the registry's {table} has {found.event} rows, under 90 % of the {loaded[table]} before, which stay"
        + (f" ({found.reject} others break a rule)" if found.reject else "")
        for table, found in tables.items()
        if found.event + found.ignored < _KEPT_SHARE * loaded.get(table, 0)
    ]
    if lost:
        raise RegistryError(f"{'; '.join(lost)}; correct it, or if that is right, re-run with --replace")


def _kept_rows(landing: Landing, loaded: Manifest) -> dict[str, int]:
    """Return how many rows of each table a version has. Manifests of release 0.1 do not say; its tables do."""
    if loaded.tables or loaded.events is None:
        return {table: counts.event for table, counts in loaded.tables.items()}
    with landing.local(landing.path("registry", loaded.events)) as folder, duckdb.connect() as connection:
        return {table: len(connection.read_parquet(str(folder / f"{table}.parquet"))) for table in HEADERS}


def _warnings(landing: Landing, manifest: Manifest, loaded: Manifest | None) -> tuple[str, ...]:
    """Return a sentence for each reason in the list, with the rows that the loaded version's list did not have.

    A sentence has no ids, since an id may be an address.
    """
    known = {row[1:] for row in _listed(landing, loaded)} if loaded else set()
    found: dict[tuple[str, str, bool], list[int]] = {}
    for line, table, identifier, reason, is_kept in _listed(landing, manifest):
        if (table, identifier, reason, is_kept) not in known:
            found.setdefault((table, reason, is_kept), []).append(line)
    return tuple(
        f"{table}: {len(lines)} rows {'kept all the same' if is_kept else 'left out'}: {reason} (first on line {lines[0]})"
        for (table, reason, is_kept), lines in sorted(found.items())
    )


def _listed(landing: Landing, manifest: Manifest) -> list[tuple[int, str, str | None, str, bool]]:
    """Return a version's list: line, table, id, reason, and whether the row is kept, as it never was in release 0.1."""
    if manifest.rejects is None:
        return []
    with landing.local(landing.path("registry", manifest.rejects)) as file, duckdb.connect() as connection:
        listed = connection.read_parquet(str(file))
        rows = [dict(zip(listed.columns, row, strict=True)) for row in listed.fetchall()]
    return [(row["line"], row["registry_table"], row["id"], row["reason"], row.get("is_kept", False)) for row in rows]


def _read(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> spreadsheets.Encoding:
    """Create a table ``raw_<table>`` from a CSV file, and return the file's encoding.

    The table has the file's columns as texts, with ``line``, ``unreadable`` and ``noticed``.
    ``unreadable`` is the reason why a row cannot be read, and ``noticed`` why a row that is kept is listed. Only optional
    columns may be missing; they are NULL.
    """
    try:
        with spreadsheets.opened(path, HEADERS[table]) as content:
            _require_columns(table, content.header)
            if not (content.plain_lines and _copy(connection, table, path, content)):
                _parse(connection, table, content)
            return content.encoding
    except spreadsheets.UnreadableTableError as error:
        raise RegistryError(f"the registry's {table} cannot be read: {error}") from None


def _copy(connection: duckdb.DuckDBPyConnection, table: str, path: Path, content: spreadsheets.Table) -> bool:
    """Create ``raw_<table>`` by DuckDB's own reader, which is quicker, and return True.

    Return False, and create nothing, where a row needs ours: it does not fit the header, extends over several lines, is blank,
    has an overlong field, or one that the database could not write as text.
    """
    places = {name: f"column_{place}" for place, name in enumerate(content.header)}
    texts = [f"{places.get(name, _NO_TEXT)} AS {name}" for name in _columns(table)]
    without_text = f"NULLIF({places[_UNREADABLE]}, '')" if _UNREADABLE in places else _NO_TEXT
    missing = " OR ".join(f"{place} IS NULL" for place in places.values())
    blank = f"COALESCE({', '.join(f'nullif_blank({place})' for place in places.values())}) IS NULL"
    try:
        # A field that a row lacks is NULL, and one that it has too many is the surplus. DuckDB alone drops an empty surplus.
        read = connection.read_csv(
            str(path), auto_detect=False, header=False, skiprows=1, delimiter=",", quotechar='"', escapechar='"',
            columns=dict.fromkeys((*places.values(), "surplus"), "VARCHAR"), null_padding=True, na_values=_NO_FIELD,
            strict_mode=True, max_line_size=_LONGEST_FIELD,
        )  # fmt: skip
        needs_ours = f"{missing} OR surplus IS NOT NULL OR {without_text} IS NOT NULL OR {blank}"
        line = "CASE WHEN NOT needs_ours THEN ROW_NUMBER() OVER () + 1 END AS line"
        read.project(f"*, {needs_ours} AS needs_ours").project(
            ", ".join((line, f"{_NO_TEXT} AS unreadable", f"{_NO_TEXT} AS noticed", *texts))
        ).create(f"raw_{table}")
    except (duckdb.Error, UnicodeDecodeError):  # the text of its error may end within a character
        return False
    copied = connection.table(f"raw_{table}")
    if len(copied.filter("line IS NOT NULL")) + 1 == content.plain_lines:
        return True
    connection.execute(f"DROP TABLE raw_{table}")
    return False


def _parse(connection: duckdb.DuckDBPyConnection, table: str, content: spreadsheets.Table) -> None:
    """Create ``raw_<table>`` from the records of a table of any form."""
    import pyarrow as pa  # noqa: PLC0415  # takes half a second, and DuckDB then imports pandas: for an unusual file only

    texts = ("unreadable", "noticed", *_columns(table))
    schema = pa.schema([("line", pa.int64()), *((name, pa.string()) for name in texts)])
    rows = _rows(table, content)
    batches = iter(lambda: list(islice(rows, _BATCH)), [])
    columns = ([list(column) for column in zip(*batch, strict=True)] for batch in batches)
    arrow = pa.Table.from_batches((pa.record_batch(each, schema) for each in columns), schema)
    connection.from_arrow(arrow).create(f"raw_{table}")


def _columns(table: str) -> tuple[str, ...]:
    return (*HEADERS[table], *_ADDED.get(table, ()))


def _require_columns(table: str, header: Sequence[str]) -> None:
    wanted = HEADERS[table]
    missing = [name for name in wanted if name not in header and name not in _OPTIONAL]
    if missing:
        # Where there is no header, the first line is somebody's data. No error shows that.
        shown = [name for name in header if name.isidentifier() and len(name) <= _LONGEST_NAME][:12]
        found = f"; its first line has {', '.join(shown)}" if shown and len(shown) == len(header) else ""
        raise RegistryError(f"the registry's {table} has no column {missing[0]}; it needs {', '.join(wanted)}{found}")
    repeated = [name for name in _columns(table) if list(header).count(name) > 1]
    if repeated:
        raise RegistryError(f"the registry's {table} has two columns {repeated[0]}; rename or remove one of them")


def _rows(table: str, content: spreadsheets.Table) -> Iterator[list[int | str | None]]:
    """Yield the rows of ``raw_<table>``."""
    names, header = _columns(table), content.header
    places = [header.index(name) if name in header else None for name in names]
    numbers = header.index(_UNREADABLE) if _UNREADABLE in header else None
    for line, values in content.records:
        if values is None:
            yield [line, "not the columns of the header", None, *[None] * len(names)]
            continue
        fields = [None if place is None else values[place] for place in places]
        faults = _faults(names, fields)
        if numbers is not None and values[numbers]:
            without_text = {header[int(number)] for number in values[numbers].split() if number.isdecimal()}
            faults |= {name: "is no text, number, time or UUID" for name in names if name in without_text}
        plain = (
            (_plain(name, field, faults.get(name)) for name, field in zip(names, fields, strict=True))
            if faults
            else fields
        )
        yield [line, *_reasons(faults), *plain]


def _faults(names: tuple[str, ...], fields: list[str | None]) -> dict[str, str]:
    """Return what is wrong with the texts themselves, by column."""
    faults = {}
    for name, field in zip(names, fields, strict=True):
        if field and len(field) > _LONGEST_FIELD:
            faults[name] = f"is over {_LONGEST_FIELD:,} characters"
        elif field and spreadsheets.UNDECODABLE in field:
            faults[name] = _UNDECODABLE
    return faults


def _reasons(faults: dict[str, str]) -> tuple[str | None, str | None]:
    """Return why a row cannot be read, and why it is listed though it is kept. Without its logo or colour a row is kept."""
    is_kept = {name: name in _DECORATIONS or (name, fault) == ("name", _UNDECODABLE) for name, fault in faults.items()}
    unreadable = [f"{name} {fault}" for name, fault in faults.items() if not is_kept[name]]
    noticed = [
        f"{name} {fault}, and is left out" if name in _DECORATIONS else f"{name} {fault}"
        for name, fault in faults.items()
        if is_kept[name]
    ]
    return "; ".join(unreadable) or None, "; ".join(noticed) or None


def _plain(name: str, field: str | None, fault: str | None) -> str | None:
    """Return a text that can be stored: none for a faulty id, logo or colour, and U+FFFD for what cannot be decoded."""
    if fault is None or field is None:
        return field
    return None if name.endswith("_id") or name in _DECORATIONS else field.replace(spreadsheets.UNDECODABLE, "\ufffd")


def _write(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, Counts]:
    (folder / "tables").mkdir()
    counts = {}
    for table in HEADERS:
        relation(connection, f"registry/{table}").create(table)
        kept = connection.table(table).filter("reason IS NULL")
        kept.write_parquet(str(folder / "tables" / f"{table}.parquet"))
        raw, read, event = len(connection.table(f"raw_{table}")), len(connection.table(table)), len(kept)
        counts[table] = Counts(raw=raw, event=event, reject=read - event, ignored=raw - read)
    relation(connection, "registry/rejects").write_parquet(str(folder / "rejects.parquet"))
    return counts
