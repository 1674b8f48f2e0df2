"""Remove the files of the landing that have reached their age: raw files, old versions, reports, and scratch files.

The events' Parquet stays. A manifest says that its raw files have expired before they are removed, so a killed run leaves
at most files that the next run removes.
"""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import TypedDict

from etl.errors import DamagedFile
from etl.landing import Landing, Manifest, named_by
from etl.pipeline.context import Context

KINDS = ("raw", "superseded", "reports", "scratch")

_RESULT = "retention.json"
_DEPTHS = {"slices": 4, "registry": 2, "reports": 3, "answers": 2}
"""How many names lead from the landing to what is removed whole: a version, a report, or a Spark session's answers."""

_UNFINISHED = re.compile(r"\.[0-9a-f]{32}$")
_log = logging.getLogger(__name__)


class Removed(TypedDict):
    """Files that were removed: how many, and their bytes."""

    files: int
    bytes: int


class Retention(TypedDict):
    """The result of a run: when it was, what it removed by kind, and the slices whose raw files it kept beyond their age."""

    at: str
    removed: dict[str, Removed]
    kept: list[str]


def expire(context: Context, now: datetime, *, dry_run: bool = False) -> Retention:
    """Remove what has reached its age at an aware instant, record it for ``status``, and return it.

    With ``dry_run`` change nothing, and return what would be removed.
    """
    landing = context.landing
    entries = _entries(dict(landing.files()))
    result: Retention = {
        "at": now.isoformat(timespec="seconds"),
        "removed": {kind: {"files": 0, "bytes": 0} for kind in KINDS},
        "kept": [],
    }
    for kind, path in _expired(context, entries, now, result["kept"], dry_run=dry_run):
        sizes = entries[path]
        if not dry_run:
            landing.remove(landing.path(path))
        result["removed"][kind]["files"] += len(sizes)
        result["removed"][kind]["bytes"] += sum(sizes)
    if not dry_run:
        landing.write(landing.path(_RESULT), json.dumps(result).encode())
    _log.info("retention%s: %s", " (dry run)" if dry_run else "", described(result))
    return result


def last_retention(landing: Landing) -> Retention | None:
    """Return the result of the last run, or None where there was none."""
    content = landing.read(landing.path(_RESULT))
    try:
        found: Retention | None = json.loads(content) if content else None
    except ValueError:
        raise DamagedFile(landing.shown(landing.path(_RESULT)), "it is no JSON") from None
    return found


def described(result: Retention) -> str:
    """Return a phrase that says how many files and bytes were removed by kind, and what was kept beyond its age."""
    removed = ", ".join(
        f"{kind} {each['files']:,} files, {each['bytes']:,} bytes" for kind, each in result["removed"].items()
    )
    kept = f"; raw files of {len(result['kept'])} slices are kept, because a run may still need them"
    return removed + (kept if result["kept"] else "")


def _entries(files: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the sizes of the files by what is removed whole: the path of a version, of a report, or of a scratch file."""
    entries = defaultdict[str, list[int]](list)
    for path, size in files.items():
        parts = path.split("/")
        depth = _DEPTHS.get(parts[0], len(parts))
        if _UNFINISHED.search(path):
            entries[path].append(size)
        elif len(parts) >= depth > 1:
            entries["/".join(parts[:depth])].append(size)
    return dict(entries)


def _is_old(context: Context, path: str, now: datetime, days: int) -> bool:
    return context.landing.written_before(context.landing.path(path), now - timedelta(days=days))


def _expired(
    context: Context, entries: Collection[str], now: datetime, kept: list[str], *, dry_run: bool
) -> Iterator[tuple[str, str]]:
    """Yield kind and path of what has reached its age. Add to ``kept`` the slices whose raw files must stay."""
    limits = context.settings.retention
    names = defaultdict[str, list[str]](list)
    for path in entries:
        prefix, _, name = path.rpartition("/")
        if _UNFINISHED.search(path) or path.startswith("answers/"):
            if _is_old(context, path, now, limits.scratch_days):
                yield "scratch", path
        elif path.startswith("reports/"):
            if _is_old(context, path, now, limits.reports_days):
                yield "reports", path
        elif path.startswith(("slices/", "registry/")):
            names[prefix].append(name)
    for prefix in names:
        try:
            manifests = _marked(context, prefix, names[prefix], now, kept, dry_run=dry_run)
        except DamagedFile as error:
            _log.warning("%s: nothing of it is removed: %s", prefix, error)
        else:
            yield from _unnamed(context, prefix, names[prefix], manifests, now)


def _unnamed(
    context: Context, prefix: str, names: list[str], manifests: list[Manifest | None], now: datetime
) -> Iterator[tuple[str, str]]:
    """Yield kind and path of each version that the manifests of a prefix do not name, or whose raw files have expired."""
    raw = {file.path.split("/", 1)[0] for manifest in manifests if manifest for file in manifest.raw}
    for name in sorted(set(names) - named_by(*manifests)):
        if _is_old(context, f"{prefix}/{name}", now, context.settings.retention.superseded_days):
            yield "raw" if name in raw else "superseded", f"{prefix}/{name}"


def _marked(
    context: Context, prefix: str, names: list[str], now: datetime, kept: list[str], *, dry_run: bool
) -> list[Manifest | None]:
    """Return the newest and the loaded manifest, after raw files that have reached their age are marked as expired."""
    landing = context.landing
    newest, loaded = landing.newest(prefix), landing.loaded(prefix)
    marked: list[Manifest | None] = []
    for manifest, publish in ((newest, landing.publish), (loaded, landing.mark_loaded)):
        has_expired = manifest is not None and _has_expired(context, manifest, names, now)
        if manifest is None or not has_expired:
            marked.append(manifest)
        elif _is_needed(context, manifest, loaded, names, now):
            marked.append(manifest)
            if prefix not in kept:
                kept.append(prefix)
        else:
            expired = manifest.model_copy(update={"raw_expired_on": now.date()})
            if not dry_run:
                publish(expired)
            marked.append(expired)
    return marked


def _is_needed(context: Context, manifest: Manifest, loaded: Manifest | None, names: list[str], now: datetime) -> bool:
    """Tell whether a run may still read the raw files of a version: a late one, or one that loads the slice at last.

    A loaded slice can be rebuilt from its Parquet, and a refused version beside it is not asked for again.
    """
    _, name, day = manifest.prefix.split("/")
    source, slice_day = context.settings.sources.get(name), date.fromisoformat(day)
    if source and slice_day >= (now - timedelta(days=source.late_days + 1)).date():
        return True
    if (name, slice_day) in context.state.waivers():
        return False
    has_parquet = loaded is not None and (not loaded.events or loaded.events.split("/", 1)[0] in names)
    return not (loaded and has_parquet and (manifest.raw == loaded.raw or manifest.status == "refused"))


def _has_expired(context: Context, manifest: Manifest, names: list[str], now: datetime) -> bool:
    """Tell whether the raw files of a version are older than they are kept, or are gone already."""
    if not manifest.raw or manifest.raw_expired_on or not manifest.prefix.startswith("slices/"):
        return False
    folder = manifest.raw[-1].path.split("/", 1)[0]  # the files of a version are written one after another
    path = context.landing.path(manifest.prefix, folder)
    if folder not in names:  # listed before the manifest was read: a version that came since is not gone
        return not context.landing.exists(path)
    return context.landing.written_before(path, now - timedelta(days=context.settings.retention.raw_days))
