"""Raw files by pattern and day, from a disk or any fsspec URL, copied into the landing byte for byte."""

from datetime import date

import fsspec

from etl.errors import NoFiles, UnreadableFile
from etl.landing import LandedFile, Landing, Manifest, slice_shelf
from etl.settings import Source


def extract(landing: Landing, name: str, source: Source, day: date, *, replace: bool) -> Manifest:
    """Copies a day's files into a fresh version and publishes it.

    NoFiles where the pattern matches nothing, unless the source may be empty and nothing is loaded, or ``replace``.
    """
    pattern, filesystem, found = _found(source, day)
    shelf = slice_shelf(name, day)
    if not found and not replace and (not source.may_be_empty or _holds_records(landing, shelf)):
        raise NoFiles(name, day, pattern)
    version = landing.fresh_version()
    raw = [
        _copied(landing, filesystem, shelf, f"{version}/raw/{position:04}", file, name, day)
        for position, file in enumerate(found)
    ]
    manifest = Manifest(shelf=shelf, raw=tuple(raw))
    landing.publish(manifest)
    return manifest


def probe(source: Source, day: date) -> str:
    """How many files a day has, in words; OSError where their place cannot be reached."""
    pattern, _, found = _found(source, day)
    return f"{len(found)} files of {day} match {pattern}"


def _found(source: Source, day: date) -> tuple[str, fsspec.AbstractFileSystem, list[str]]:
    assert source.files is not None
    pattern = source.files.format(day=day)
    filesystem, path = fsspec.url_to_fs(pattern)
    return pattern, filesystem, sorted(file for file in filesystem.glob(path) if filesystem.isfile(file))


def _holds_records(landing: Landing, shelf: str) -> bool:
    loaded = landing.loaded(shelf)
    return loaded is not None and loaded.counts.raw > 0


def _copied(
    landing: Landing,
    filesystem: fsspec.AbstractFileSystem,
    shelf: str,
    prefix: str,
    file: str,
    name: str,
    day: date,
) -> LandedFile:
    basename = file.rsplit("/", 1)[-1]
    try:
        with filesystem.open(file, "rb") as content:
            return landing.store(
                shelf, f"{prefix}-{basename}", content, origin=filesystem.unstrip_protocol(file)
            )
    except OSError as error:
        raise UnreadableFile(name, day, basename, error.strerror or type(error).__name__) from error
