"""The stage load: put a landed slice, or the landed registry, into the warehouse, whole or not at all."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any

from etl.errors import NotLanded, RegistryError, ShrunkenSlice, SliceError
from etl.landing import Counts, Landing, Manifest, slice_prefix
from etl.warehouse import Landed, Warehouse

WHOLE = ("loaded", "empty")

_log = logging.getLogger(__name__)


def load_slice(
    warehouse: Warehouse, landing: Landing, source: str, day: date, *, replace: bool, loaded_at: datetime
) -> Manifest:
    """Replace a slice in the warehouse with its newest landed version, and return that version's manifest.

    Raise NotLanded if there is no version, SliceError if it is not valid, and ShrunkenSlice if it has under half of the
    raw records, or of the events, that are loaded, unless ``replace``: then log how many are replaced by how few.
    """
    manifest = _loadable(warehouse, landing, source, day, replace=replace)
    row = _row(manifest, source, day, loaded_at)
    warehouse.replace_slice(row, _landed(landing, manifest))
    landing.mark_loaded(manifest)
    return manifest


def load_slices(
    warehouse: Warehouse,
    landing: Landing,
    slices: Sequence[tuple[str, date]],
    *,
    replace: bool,
    loaded_at: datetime,
) -> list[Manifest]:
    """Load many slices in one transaction, as ``load_slice`` does one. Where one cannot be loaded, raise why, and load none."""
    loadable = [_loadable(warehouse, landing, source, day, replace=replace) for source, day in slices]
    warehouse.replace_slices(
        [
            (_row(manifest, source, day, loaded_at), _landed(landing, manifest))
            for (source, day), manifest in zip(slices, loadable, strict=True)
        ]
    )
    for manifest in loadable:
        landing.mark_loaded(manifest)
    return loadable


def held_versions(warehouse: Warehouse) -> dict[tuple[str, date], str | None]:
    """Return the landed version that the warehouse holds of each slice that is whole; None for a slice without events."""
    held = warehouse.rows("held_slices", source=None, load_date=None)
    return {(row["source"], row["load_date"]): row["version"] for row in held if row["status"] in WHOLE}


def _loadable(warehouse: Warehouse, landing: Landing, source: str, day: date, *, replace: bool) -> Manifest:
    """Return the newest landed version of a slice; raise what keeps it from being loaded."""
    manifest = landing.newest(slice_prefix(source, day))
    if manifest is None:
        raise NotLanded(source, day)
    if manifest.status != "valid":
        raise SliceError(
            source,
            day,
            f"the version landed last is {manifest.status}, not valid{_because(manifest)}; run the day again",
        )
    held = _held(warehouse, source, day)
    if held["status"] in WHOLE:
        _compare_size(source, day, manifest.counts, held, replace=replace)
    return manifest


def _landed(landing: Landing, manifest: Manifest) -> Landed | None:
    """Return the folder of a version's Parquet files; None for a version without events."""
    if manifest.events is None:
        return None
    return Landed(
        f"{manifest.prefix}/{manifest.events}",
        partial(landing.local, landing.path(manifest.prefix, manifest.events)),
    )


def record_failure(warehouse: Warehouse, source: str, day: date, reason: str) -> None:
    """Record in ``slices`` why the last try failed. What is loaded stays, and so does its status."""
    warehouse.record_slice({**_held(warehouse, source, day), "last_error": reason})


def keep_registry(warehouse: Warehouse, landing: Landing, fingerprint: str) -> Manifest | None:
    """Publish the loaded registry as the newest where it has that fingerprint, and return its manifest; else None.

    Its raw files become those that were landed last, which are the same, byte for byte. There is nothing new to warn of.
    """
    newest, loaded = landing.newest("registry"), landing.loaded("registry")
    if not newest or not loaded or loaded.fingerprint != fingerprint or not warehouse.holds_registry(fingerprint):
        return None
    kept = loaded.model_copy(update={"raw": newest.raw, "warnings": ()})
    landing.publish(kept)
    landing.mark_loaded(kept)
    return kept


def load_registry(warehouse: Warehouse, landing: Landing) -> None:
    """Replace the registry in the warehouse with the one landed last; raise a RegistryError if that is not valid."""
    manifest = landing.newest("registry")
    registry = _landed(landing, manifest) if manifest and manifest.status == "valid" else None
    if manifest is None or registry is None:
        raise RegistryError("no registry was landed that could be loaded; pull it first")
    warehouse.replace_registry(registry, manifest.fingerprint)
    landing.mark_loaded(manifest)


def _compare_size(source: str, day: date, counts: Counts, held: Mapping[str, Any], *, replace: bool) -> None:
    """Raise ShrunkenSlice for under half of what is loaded; with ``replace`` log it.

    Events are compared too: where a changed setting or format makes most records ignored, the raw records are as many.
    """
    for what, new, loaded in (
        ("raw records", counts.raw, held["raw_count"]),
        ("events", counts.event, held["event_count"]),
    ):
        if 2 * new < loaded:
            if not replace:
                raise ShrunkenSlice(source, day, new, loaded, what)
            _log.warning("%s %s: %d %s replace the %d loaded, by --replace", source, day, new, what, loaded)


def _held(warehouse: Warehouse, source: str, day: date) -> Mapping[str, Any]:
    """Return the slice's row of ``slices``, or the row that a first failure would write if it was never tried."""
    held = warehouse.rows("held_slices", source=source, load_date=day)
    return (
        held[0] if held else _row(Manifest(prefix=slice_prefix(source, day)), source, day, None) | {"status": "failed"}
    )


def _row(manifest: Manifest, source: str, day: date, loaded_at: datetime | None) -> dict[str, Any]:
    counts = {f"{name}_count": count for name, count in manifest.counts.model_dump().items()}
    status = "loaded" if manifest.raw else "empty"
    return {
        "source": source,
        "load_date": day,
        "status": status,
        "last_error": None,
        **counts,
        "loaded_at": loaded_at,
        "version": manifest.events,
    }


def _because(manifest: Manifest) -> str:
    return f" ({manifest.reason})" if manifest.reason else ""
