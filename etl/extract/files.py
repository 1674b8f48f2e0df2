"""Raw files by pattern and day, from a disk or any fsspec URL, copied into the landing byte for byte."""

from datetime import date

import fsspec

from etl.errors import NoFiles, UnreadableFile
from etl.landing import LandedFile, Landing, Manifest, slice_shelf
from etl.settings import Source


def extract(landing: Landing, name: str, source: Source, day: date, *, replace: bool) -> Manifest:
    """Copies a day's files into a fresh version and publishes it.

    NoFiles where the pattern matches nothing, unless the source may be empty and nothing is loaded, or ``replace``.
    UnreadableFile where one of them, or their place, cannot be read.
    """
    shelf, version = slice_shelf(name, day), landing.fresh_version()
    place = str(source.files).format(day=day)
    try:
        filesystem, found = _found(source, day)
        if not found and not replace and (not source.may_be_empty or _holds_records(landing, shelf)):
            raise NoFiles(name, day, place)
        raw = []
        for position, place in enumerate(found):
            raw.append(_copied(landing, filesystem, place, shelf, f"{version}/raw/{position:04}"))
    except NoFiles:
        raise
    except Exception as error:  # every kind of store has exceptions of its own
        raise UnreadableFile(name, day, place, _reason(error)) from error
    manifest = Manifest(shelf=shelf, raw=tuple(raw))
    landing.publish(manifest)
    return manifest


def probe(source: Source, day: date) -> str:
    """How many files a day has, in words; OSError where their place cannot be reached."""
    try:
        _, found = _found(source, day)
    except Exception as error:
        raise OSError(_reason(error)) from error
    return f"{len(found)} files of {day} match {source.files}"


def differ(source: Source, day: date, loaded: Manifest) -> bool:
    """Whether files of a day came or grew after it was loaded; a place that cannot be read has nothing to bring."""
    known = {file.origin: file.size for file in loaded.raw}
    try:
        filesystem, found = _found(source, day)
        sizes = {filesystem.unstrip_protocol(file): filesystem.size(file) for file in found}
    except Exception:  # noqa: BLE001  # the day whose turn it is says so
        return False
    return any(size > known.get(origin, -1) for origin, size in sizes.items())


def _found(source: Source, day: date) -> tuple[fsspec.AbstractFileSystem, list[str]]:
    filesystem, path = fsspec.url_to_fs(str(source.files).format(day=day))
    filesystem.invalidate_cache()  # a worker that lives for days must see today's files
    return filesystem, sorted(file for file in filesystem.glob(path) if filesystem.isfile(file))


def _holds_records(landing: Landing, shelf: str) -> bool:
    loaded = landing.loaded(shelf)
    return loaded is not None and loaded.counts.raw > 0


def _copied(landing: Landing, filesystem: fsspec.AbstractFileSystem, file: str, shelf: str, prefix: str) -> LandedFile:
    origin = filesystem.unstrip_protocol(file)
    with filesystem.open(file, "rb") as content:
        return landing.store(shelf, f"{prefix}-{file.rsplit('/', 1)[-1]}", content, origin=origin)


def _reason(error: Exception) -> str:
    said = (getattr(error, "strerror", None) or str(error)).splitlines()
    return said[0] if said else type(error).__name__
