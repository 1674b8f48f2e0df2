"""Land the ``given`` tables of a case as the stage normalise lands them. A case gives only the columns that differ."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from etl import load, settings
from etl.landing import Counts, LandedFile, Landing, Manifest, slice_prefix
from etl.warehouse import Warehouse

Row = Mapping[str, Any]

LOADED_AT = datetime(2026, 12, 2, 2, 14, tzinfo=UTC)

_TEXT, _TIME = pa.string(), pa.timestamp("us")
_EVENT_TYPES = {
    "load_date": pa.date32(),
    "occurred_at": _TIME,
    "is_machine": pa.bool_(),
    "is_suppressed": pa.bool_(),
    "is_opt_out_link": pa.bool_(),
    "tags": pa.list_(_TEXT),
}
_EVENT_COLUMNS = (
    "event_key", "source", "load_date", "event_type", "occurred_at", "recipient_id", "certificate_id",
    "message_id", "channel", "url", "user_agent", "bounce_class", "reject_reason", "smtp_code", "enhanced_code",
    "mta_response", "is_machine", "machine_reason", "is_suppressed", "tags", "metadata", "address_hash",
    "identity_key", "link_host", "link_key", "link_channel", "is_opt_out_link",
)  # fmt: skip
_REGISTRY_COLUMNS = {
    "issuers": ("issuer_id", "name", "logo", "color"),
    "certificates": ("certificate_id", "issuer_id", "name", "kind", "created_at"),
    "recipients": (
        "recipient_id", "certificate_id", "email", "name", "message_id", "access_email_sent_at", "created_at",
        "address_hash",
    ),
    "subscriptions": ("subscription_id", "issuer_id", "email", "frequency", "timezone", "locale", "is_paused", "detail"),
}  # fmt: skip
_SLICE = {
    "source": "mail", "status": "loaded", "last_error": None, "raw_count": 0, "event_count": 0, "reject_count": 0,
    "ignored_count": 0, "duplicate_count": 0, "loaded_at": LOADED_AT, "version": None,
}  # fmt: skip
_CREATED = datetime(2026, 1, 1)  # as Parquet holds it: naive UTC


def bring(warehouse: Warehouse, landing: Landing, given: Mapping[str, Any]) -> None:
    """Land and load a case: its registry, then its events by slice, in the order of their rows.

    The case's rows of ``slices`` replace those that loading the events recorded.
    """
    bring_registry(warehouse, landing, given)
    brought: dict[tuple[str, date], list[Row]] = {}
    for number, row in enumerate(given.get("events", ())):
        filled = event(number, row)
        brought.setdefault((filled["source"], filled["load_date"]), []).append(filled)
    for (source, day), rows in brought.items():
        bring_slice(warehouse, landing, source, day, rows, loaded_at=given.get("loaded_at", LOADED_AT))
    for row in given.get("slices", ()):
        warehouse.record_slice(_SLICE | row)


def bring_slice(
    warehouse: Warehouse,
    landing: Landing,
    source: str,
    day: date,
    rows: Sequence[Row],
    *,
    replace: bool = True,
    loaded_at: datetime = LOADED_AT,
) -> None:
    """Land and load a slice of complete events."""
    land_slice(landing, source, day, rows)
    load.load_slice(warehouse, landing, source, day, replace=replace, loaded_at=loaded_at)


def land_slice(landing: Landing, source: str, day: date, rows: Sequence[Row]) -> Manifest:
    """Land a slice of complete events as a valid version. A slice without rows has no raw file."""
    prefix, version = slice_prefix(source, day), landing.fresh_version()
    raw = (LandedFile(path=f"{version}/raw", size=0, sha256=""),) if rows else ()
    manifest = Manifest(
        prefix=prefix, raw=raw, events=f"{version}/events" if rows else None, status="valid",
        counts=Counts(raw=len(rows), event=len(rows)),
    )  # fmt: skip
    if rows:
        with landing.local_folder(landing.path(prefix, f"{version}/events")) as folder:
            half = len(rows) // 2
            for name, part in (("one", rows[:half]), ("two", rows[half:])):
                parquet.write_table(_events(part), folder / f"{name}.parquet")
    landing.publish(manifest)
    return manifest


def bring_registry(warehouse: Warehouse, landing: Landing, given: Mapping[str, Any]) -> None:
    """Land and load a registry. A case that lists no issuer or no certificate gets one."""
    version = landing.fresh_version()
    with landing.local_folder(landing.path("registry", f"{version}/tables")) as folder:
        for table, rows in registry(given).items():
            parquet.write_table(_registry_table(table, rows), folder / f"{table}.parquet")
    landing.publish(Manifest(prefix="registry", events=f"{version}/tables", status="valid"))
    load.load_registry(warehouse, landing)


def registry(given: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Return the four tables of a case with every column."""
    return {
        "issuers": [
            {"issuer_id": "i1", "name": row.get("issuer_id", "i1"), **row} for row in given.get("issuers", [{}])
        ],
        "certificates": [
            {"certificate_id": "c1", "issuer_id": "i1", "name": row.get("certificate_id", "c1"),
             "kind": "certificate", "created_at": _CREATED, **row}
            for row in given.get("certificates", [{}])
        ],
        "recipients": [_recipient(row) for row in given.get("recipients", [])],
        "subscriptions": [{"detail": "recipients", **row} for row in given.get("subscriptions", [])],
    }  # fmt: skip


def event(number: int, row: Row) -> dict[str, Any]:
    """Return a complete event. By default it is ``number`` seconds after noon of its slice's day."""
    day = row.get("load_date", date(2026, 11, 2))
    filled = dict.fromkeys(_EVENT_COLUMNS) | {
        "event_key": f"e{number}", "source": "mail", "load_date": day, "is_machine": False, "is_suppressed": False,
        "is_opt_out_link": False, "tags": [], "occurred_at": datetime.combine(day, time(12)) + timedelta(seconds=number),
    } | {name: value for name, value in row.items() if name != "address"}  # fmt: skip
    if "address" in row:
        filled["address_hash"] = hash_of(row["address"])
    known = [filled[name] for name in ("recipient_id", "certificate_id", "message_id", "address_hash")]
    filled["identity_key"] = row.get("identity_key") or hashlib.md5(repr(known).encode()).hexdigest()
    return filled


def hash_of(address: str) -> str:
    """Return the hash that events and identities hold instead of an address."""
    return hashlib.md5(address.lower().encode()).hexdigest()


def configuration(given: Mapping[str, Any]) -> settings.Settings:
    """Return the configuration of a case: its sources, credential hosts, share links, timing rules and limits."""
    sources = {
        name: settings.Source(format="sendgrid", files="*", **table) for name, table in given.get("sources", {}).items()
    }
    return settings.Settings.model_construct(
        sources=sources,
        credential=settings.Credential(
            hosts=given.get("hosts", []), count_share_links=given.get("count_share_links", False)
        ),
        machines=settings.Machines(**given.get("machines", {})),
        validation=settings.Validation(**given.get("validation", {})),
    )


def _recipient(row: Row) -> Row:
    email = row.get("email", f"{row['recipient_id']}@example.com")
    defaults = {"certificate_id": "c1", "name": row["recipient_id"], "created_at": _CREATED}
    return {**defaults, "email": email, "address_hash": hash_of(email), **row}


def _events(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(
        list(rows), pa.schema([(name, _EVENT_TYPES.get(name, _TEXT)) for name in _EVENT_COLUMNS])
    )


def _registry_table(table: str, rows: Sequence[Row]) -> pa.Table:
    def kind(name: str) -> pa.DataType:
        return _TIME if name.endswith("_at") else pa.bool_() if name.startswith("is_") else _TEXT

    return pa.Table.from_pylist(list(rows), pa.schema([(name, kind(name)) for name in _REGISTRY_COLUMNS[table]]))


def columns(landed: str) -> frozenset[str]:
    """Return the columns of a landed relation: ``landed_events``, or ``landed_<table>`` of the registry."""
    return frozenset(_REGISTRY_COLUMNS.get(landed.removeprefix("landed_"), _EVENT_COLUMNS)) - {"tags"}
