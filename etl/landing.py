"""The landing: the files of the slices and of the registry, on a disk or on object storage.

Every prefix (``slices/<source>/<day>``, or ``registry``) holds versions, each a new folder, and two small manifests.
``newest.json`` names the version that was landed last. ``loaded.json`` names the version that the warehouse holds. A
manifest is written after the files that it names, and in one step. So a version is visible whole or not at all, and a
killed run leaves only a folder that no manifest names.
"""

import hashlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO, Literal

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from etl import scratch
from etl.errors import AnalyticsError, ConfigurationError, DamagedFile, LandingError, reason_of

OBJECT_STORES = frozenset({"s3", "gs", "abfs", "az", "oss", "oci"})
"""Protocols of object stores. They need no folders, and an object becomes visible only when it is whole."""

_CHUNK = 1 << 18  # malloc reuses buffers of this size; larger ones get new pages from the system each time
_PART = 16 << 20  # bytes of an object in memory at a time; S3 accepts at most 10,000 parts of one object
_NEWEST, _LOADED = "newest.json", "loaded.json"
_SLICES = "slices"


class LandedFile(BaseModel):
    """A file of a version: its path below the prefix, its size in bytes, its SHA-256 and its origin."""

    model_config = ConfigDict(frozen=True)

    path: str
    size: int
    sha256: str
    origin: str = ""


class Counts(BaseModel):
    """The raw records of a slice, counted by what they became. ``raw`` is always the sum of the others."""

    model_config = ConfigDict(frozen=True)

    raw: int = 0
    event: int = 0
    duplicate: int = 0
    reject: int = 0
    ignored: int = 0


class Manifest(BaseModel):
    """One version of a prefix: its raw files, and, from the stage normalise on, its Parquet files and counts.

    The registry's manifest has its counts for each of the ``tables``, too, ``warnings`` for the person who maintains it, and
    the ``fingerprint`` of all that its tables follow from.

    The raw files are gone once ``raw_expired_on`` is set; ``raw`` then still says what they were.

    The status is first ``extracted``, then ``normalised``, then ``valid``: only a valid version may be loaded. A version
    that must not be loaded is ``refused``, and ``reason`` says why.

    ``rules`` and ``key`` are the fingerprints of the rules and of the hash key by which a slice was normalised. Where they
    are those of today, its Parquet files can be loaded into any warehouse.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    # Landings made before the first release say "shelf".
    prefix: str = Field(validation_alias=AliasChoices("prefix", "shelf"))
    raw: tuple[LandedFile, ...] = ()
    raw_expired_on: date | None = None
    events: str | None = None
    rejects: str | None = None
    counts: Counts = Counts()
    tables: dict[str, Counts] = {}
    warnings: tuple[str, ...] = ()
    fingerprint: str = ""
    status: Literal["extracted", "normalised", "valid", "refused"] = "extracted"
    reason: str | None = None
    rules: str | None = None
    key: str | None = None


def slice_prefix(source: str, day: date) -> str:
    """Return the prefix of one slice."""
    return f"{_SLICES}/{source}/{day.isoformat()}"


def _day(name: str) -> date | None:
    """Return the day that a folder is named after, None for any other folder."""
    with suppress(ValueError):
        day = date.fromisoformat(name)
        return day if day.isoformat() == name else None
    return None


def named_by(*manifests: Manifest | None) -> set[str]:
    """Return the names below a prefix that must stay: the manifests and what they name. Expired raw files are not among them."""
    named = {_NEWEST, _LOADED}
    for manifest in filter(None, manifests):
        raw = () if manifest.raw_expired_on else (file.path for file in manifest.raw)
        named |= {path.split("/", 1)[0] for path in (*raw, manifest.events, manifest.rejects) if path}
    return named


class Landing:
    """The landing behind one fsspec URL."""

    def __init__(self, url: str) -> None:
        try:
            self.filesystem, root = fsspec.url_to_fs(url)
        except Exception as error:  # noqa: BLE001  # an unknown protocol, one whose library is missing, a port that is no number
            raise ConfigurationError(f"landing.url is no place that can be reached ({reason_of(error)})") from None
        self.url, self.root = url, root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """True where the landing is on a disk of this machine."""
        return isinstance(self.filesystem, LocalFileSystem)

    def path(self, *parts: str) -> str:
        """Return the full path of something in the landing, in the form that its filesystem uses."""
        return "/".join((self.root, *parts))

    def shown(self, path: str) -> str:
        """Return a full path in the form for people and DuckDB: unchanged on a disk, a URL elsewhere."""
        return path if self.is_local else str(self.filesystem.unstrip_protocol(path))

    def newest(self, prefix: str) -> Manifest | None:
        """Return the version that was landed last, or None."""
        return self._manifest(prefix, _NEWEST)

    def loaded(self, prefix: str) -> Manifest | None:
        """Return the version that the warehouse holds, or None."""
        return self._manifest(prefix, _LOADED)

    def slices(self) -> Iterator[tuple[str, date]]:
        """Yield the source and the day of every slice of which something was landed, in the order of the days."""
        found = [
            (day, source)
            for source in self._folders(_SLICES)
            for day in map(_day, self._folders(_SLICES, source))
            if day
        ]
        return ((source, day) for day, source in sorted(found))

    def has_raw(self, manifest: Manifest) -> bool:
        """Tell whether all raw files of a version are still there."""
        with self._reached():
            return all(self.filesystem.exists(self.path(manifest.prefix, file.path)) for file in manifest.raw)

    def publish(self, manifest: Manifest) -> None:
        """Make this the newest version of its prefix."""
        self.write(self.path(manifest.prefix, _NEWEST), manifest.model_dump_json(indent=1).encode())

    def mark_loaded(self, manifest: Manifest) -> None:
        """Record that the warehouse now holds this version. Call it after the load has committed."""
        self.write(self.path(manifest.prefix, _LOADED), manifest.model_dump_json(indent=1).encode())

    @staticmethod
    def fresh_version() -> str:
        """Return a new, unique folder name for a version."""
        return uuid.uuid4().hex

    def write(self, path: str, content: bytes) -> None:
        """Write a small file whole or not at all."""
        with self._reached():
            self._make_folder_of(path)
            if self.is_local:  # fsspec would move a temporary file, which from another disk is a copy
                beside = Path(f"{path}.{self.fresh_version()}")
                beside.write_bytes(content)
                beside.replace(path)
            elif is_object_store(self.filesystem):
                self.filesystem.pipe_file(path, content)
            else:
                with self.filesystem.transaction, self.filesystem.open(path, "wb") as file:
                    file.write(content)

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a small file, or None where there is none."""
        with self._reached():
            try:
                return bytes(self.filesystem.cat_file(path))
            except FileNotFoundError:
                return None

    def files(self) -> Iterator[tuple[str, int]]:
        """Yield each file's path below the landing, and its size in bytes."""
        with self._reached():
            found = self.filesystem.find(self.root, detail=True) if self.filesystem.isdir(self.root) else {}
        root = self.filesystem._strip_protocol(self.root).rstrip("/")  # noqa: SLF001  # the form that find returns
        for path, entry in found.items():
            yield path.removeprefix(root).lstrip("/"), entry["size"] or 0

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that it holds. One that is gone is no error."""
        with self._reached(), suppress(FileNotFoundError):
            self.filesystem.rm(path, recursive=True)

    def store(self, prefix: str, path: str, content: BinaryIO, origin: str) -> LandedFile:
        """Copy a stream into a prefix, byte for byte and in bounded memory; return the landed file.

        No stage reads the file before a manifest names it.
        """
        digest, size = hashlib.sha256(), 0
        with self._written(self.path(prefix, path)) as write:
            while chunk := content.read(_CHUNK):
                write(chunk)
                digest.update(chunk)
                size += len(chunk)
        return LandedFile(path=path, size=size, sha256=digest.hexdigest(), origin=origin)

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """Yield a local path of a file or folder: its own path on a disk, a temporary copy elsewhere."""
        if self.is_local:
            yield Path(path)
            return
        with scratch.folder() as folder:
            copy = folder / path.rsplit("/", 1)[-1]
            with self._reached():
                self._fetch(path, copy)
            yield copy

    @contextmanager
    def local_folder(self, path: str) -> Iterator[Path]:
        """Yield an empty local folder. Its files are at that path of the landing once the block ends without an error."""
        if self.is_local:
            folder = Path(path)
            with self._reached():
                folder.mkdir(parents=True)
            yield folder
            return
        with scratch.folder() as temporary:
            yield temporary
            for file in (found for found in temporary.rglob("*") if found.is_file()):
                with file.open("rb") as content, self._written(f"{path}/{file.relative_to(temporary)}") as write:
                    while chunk := content.read(_CHUNK):
                        write(chunk)

    def sweep(self, prefix: str, *, before: datetime) -> None:
        """Remove the files and folders of a prefix that no manifest names and that were last written before an aware instant."""
        named = named_by(self.newest(prefix), self.loaded(prefix))
        folder = self.path(prefix)
        with self._reached():
            entries = self.filesystem.ls(folder, detail=False) if self.filesystem.isdir(folder) else []
            for entry in (found.rstrip("/") for found in entries):
                is_marker = entry == folder  # an empty object that represents the folder itself
                if not is_marker and entry.rsplit("/", 1)[-1] not in named and self._written_before(entry, before):
                    self.filesystem.rm(entry, recursive=True)

    def written_before(self, path: str, instant: datetime) -> bool:
        """Tell whether a file, or every file of a folder, is there and was last written before an aware instant."""
        with self._reached():
            try:
                return self._written_before(path, instant)
            except FileNotFoundError:
                return False

    def exists(self, path: str) -> bool:
        """Tell whether there is a file or folder."""
        with self._reached():
            return bool(self.filesystem.exists(path))

    def _written_before(self, folder: str, before: datetime) -> bool:
        def written(path: str) -> datetime:
            moment: datetime = self.filesystem.modified(path)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

        files = self.filesystem.find(folder)
        return all(written(file) < before for file in files) and (bool(files) or written(folder) < before)

    def _manifest(self, prefix: str, name: str) -> Manifest | None:
        path = self.path(prefix, name)
        content = self.read(path)
        if content is None:
            return None
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            reason = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
            raise DamagedFile(self.shown(path), reason) from None
        if manifest.prefix != prefix:
            raise DamagedFile(self.shown(path), "it is the manifest of another folder")
        return manifest

    def _folders(self, *parts: str) -> list[str]:
        """Return the names of what lies in a folder, none where there is no such folder."""
        folder = self.path(*parts)
        with self._reached():
            entries = self.filesystem.ls(folder, detail=False) if self.filesystem.isdir(folder) else []
        return [entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Run the block against the landing as it is now; turn any exception of its filesystem into a LandingError."""
        try:
            self.filesystem.invalidate_cache()  # a worker that runs for days must see what others wrote
            yield
        except AnalyticsError:
            raise
        except Exception as error:
            raise LandingError(self.url, reason_of(error)) from error

    @contextmanager
    def _written(self, path: str) -> Iterator[Callable[[bytes], None]]:
        """Open a new file; yield the function that writes to it.

        Only errors of the landing become LandingErrors: the block may also read its input, whose errors pass unchanged.
        """
        with self._reached():
            self._make_folder_of(path)
            file = self.filesystem.open(path, "wb", block_size=_PART)

        def write(chunk: bytes) -> None:
            with self._reached():
                file.write(chunk)

        try:
            yield write
        finally:
            with self._reached():
                file.close()

    def _fetch(self, path: str, copy: Path) -> None:
        """Copy a file, or all files of a folder, part by part: fsspec's own ``get`` holds many parts in memory at a time."""
        files = self.filesystem.find(path)
        if not files:
            raise FileNotFoundError(f"{path} is not there")
        for file in files:
            target = copy / file.removeprefix(path).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.filesystem.open(file, "rb", block_size=_PART) as content, target.open("wb") as local:
                shutil.copyfileobj(content, local, _CHUNK)

    def _make_folder_of(self, path: str) -> None:
        """Make the folder of a file, except on an object store: it would create a bucket whose name was mistyped."""
        if not is_object_store(self.filesystem):
            self.filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)


def is_object_store(filesystem: fsspec.AbstractFileSystem) -> bool:
    """Tell whether a filesystem has buckets and keys rather than folders and files."""
    protocols = filesystem.protocol
    return not OBJECT_STORES.isdisjoint({protocols} if isinstance(protocols, str) else protocols)
