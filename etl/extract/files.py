"""Copy raw files by pattern and day, from a disk or any fsspec URL, into the landing, byte for byte."""

from datetime import date

import fsspec

from etl.errors import AnalyticsError, NoFiles, UnreadableFile, reason_of
from etl.landing import LandedFile, Landing, Manifest, is_object_store, slice_prefix
from etl.settings import Source

_BLOCK = 16 << 20  # bytes of a file in memory at a time


def extract(landing: Landing, name: str, source: Source, day: date, *, replace: bool) -> Manifest:
    """Copy the files of a day into a new version, publish it, and return its manifest.

    Raise NoFiles where the pattern matches nothing. ``replace`` allows that, and so does ``may_be_empty`` where no records
    of the day are loaded. Raise UnreadableFile where a file, or the place of the files, cannot be read.
    """
    prefix, version = slice_prefix(name, day), landing.fresh_version()
    place = source.files_of(day)
    try:
        filesystem, found = _found(source, day)
        if not found and not replace and (not source.may_be_empty or _holds_records(landing, prefix)):
            raise NoFiles(name, day, place)
        raw = []
        for position, place in enumerate(found):
            raw.append(_copied(landing, filesystem, place, prefix, f"{version}/raw/{position:04}"))
    except AnalyticsError:
        raise
    except Exception as error:  # every kind of store has its own exceptions
        raise UnreadableFile(name, day, place, reason_of(error)) from error
    manifest = Manifest(prefix=prefix, raw=tuple(raw))
    landing.publish(manifest)
    return manifest


def probe(source: Source, day: date) -> str:
    """Return a sentence with the number of files of a day; raise an OSError where their place cannot be reached."""
    try:
        _, found = _found(source, day)
    except Exception as error:
        raise OSError(reason_of(error)) from error
    return f"{len(found)} files of {day} match {source.files}"


def differ(source: Source, day: date, landed: Manifest) -> bool:
    """Tell whether files of a day came or grew since it was landed. A place that cannot be read counts as unchanged."""
    known = {file.origin: file.size for file in landed.raw}
    try:
        filesystem, found = _found(source, day)
        sizes = {filesystem.unstrip_protocol(file): size for file, size in found.items()}
    except Exception:  # noqa: BLE001  # the slices of the night's own day report the error
        return False
    return any(size > known.get(origin, -1) for origin, size in sizes.items())


def _found(source: Source, day: date) -> tuple[fsspec.AbstractFileSystem, dict[str, int]]:
    """Return the filesystem, and the files of a day in order of their names, each with its size in bytes as listed."""
    filesystem, path = fsspec.url_to_fs(source.files_of(day))
    filesystem.invalidate_cache()  # a worker that runs for days must see today's files
    found = filesystem.glob(path, detail=True)
    if not found and is_object_store(filesystem):
        _require_bucket(filesystem, path)
    return filesystem, {
        file: found[file].get("size") or 0
        for file in sorted(found)
        if found[file]["type"] == "file" or filesystem.isfile(file)  # the listing gives a link another type
    }


def _require_bucket(filesystem: fsspec.AbstractFileSystem, path: str) -> None:
    """Raise a FileNotFoundError where the bucket is missing: a glob finds nothing there, as in an empty bucket."""
    bucket = path.split("/", 1)[0]
    try:
        filesystem.info(bucket)
    except PermissionError:  # a key may list a folder of the bucket without access to the bucket itself
        return
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no bucket {bucket}") from None


def _holds_records(landing: Landing, prefix: str) -> bool:
    loaded = landing.loaded(prefix)
    return loaded is not None and loaded.counts.raw > 0


def _copied(landing: Landing, filesystem: fsspec.AbstractFileSystem, file: str, prefix: str, path: str) -> LandedFile:
    origin = filesystem.unstrip_protocol(file)
    with filesystem.open(file, "rb", block_size=_BLOCK) as content:
        return landing.store(prefix, f"{path}-{file.rsplit('/', 1)[-1]}", content, origin=origin)
