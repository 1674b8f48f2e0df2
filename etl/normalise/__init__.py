"""Turn a slice's raw bytes into events and rejects, in one vocabulary for all providers and access logs.

The rules are SQL (``sql/normalise/``). DuckDB runs it in this process, within the configured memory limit, and spills to
disk beyond that. Each format is a view over the records; the rules that all formats share are in ``classified.sql``.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from etl import mailbox, settings, sql
from etl import scratch as temporary
from etl.errors import ConfigurationError, ExpiredRaw, NotLanded, UnreadableFile
from etl.landing import Counts, Landing, Manifest, slice_prefix
from etl.normalise import documents
from etl.normalise.session import FOLDER, bind, connected, define, keep, relation, rows, write


@dataclass(frozen=True)
class Format:
    """The properties of a log format: its layout, and whether its records are requests of the tracking pixel."""

    layout: documents.Layout
    is_pixel: bool = False


FORMATS = {
    "sendgrid": Format("json"),
    "ses": Format("json"),
    "mailgun": Format("json"),
    "postmark": Format("json"),
    "mandrill": Format("json"),
    "nginx_combined": Format("lines", is_pixel=True),
    "apache_combined": Format("lines", is_pixel=True),
    "sparkpost": Format("json"),
    "nginx_json": Format("json_with_hex_escapes", is_pixel=True),
    "cloudflare": Format("json", is_pixel=True),
    "brevo": Format("json"),
    "mailjet": Format("json"),
    "resend": Format("json"),
    "mailersend": Format("json"),
    "alb": Format("lines", is_pixel=True),
    "cloudfront": Format("lines_or_json", is_pixel=True),
    "mailtrap": Format("json"),
    "postal": Format("json"),
    "unisender_go": Format("json"),
}
"""All formats by name; the name is the stem of the SQL file."""


@dataclass(frozen=True)
class _File:
    """A raw file of a slice: where it came from, its clean lines, and the day of the slice."""

    origin: str
    text: documents.Text
    day: date


def check_formats(sources: dict[str, settings.Source]) -> None:
    """Raise a ConfigurationError for the first source whose format is not in ``FORMATS``."""
    for name, source in sources.items():
        if source.format not in FORMATS:
            raise ConfigurationError(
                f"sources.{name}.format {source.format!r} is unknown; there are {', '.join(FORMATS)}"
            )


def fingerprint_of_key(hash_key: str) -> str:
    """Return a text that tells whether two hash keys are the same, and nothing else about them."""
    return hashlib.sha256(b"fingerprint:" + hash_key.encode()).hexdigest()[:32]


def fingerprint_of_rules(source: settings.Source) -> str:
    """Return a text that changes with whatever may change the events of a source: its settings, our SQL and our code."""
    own = (source.format, source.pixel_path, source.recipient_key, source.certificate_key, *source.metadata_keys)
    return hashlib.sha256(f"{own} {_fingerprint_of_code(source.format)}".encode()).hexdigest()[:32]


@cache
def _fingerprint_of_code(form: str) -> str:
    shared = sorted(path.stem for path in (sql.ROOT / FOLDER).glob("*.sql") if path.stem not in FORMATS)
    macros = sorted(path.stem for path in (sql.ROOT / FOLDER / "macros").glob("*.sql"))
    texts = [sql.read(FOLDER, stem).text for stem in (*shared, form)]
    texts += [sql.read(f"{FOLDER}/macros", stem).text for stem in macros]
    modules = [*sorted(Path(__file__).parent.glob("*.py")), Path(mailbox.__file__)]
    texts += [module.read_text(encoding="utf-8") for module in modules] + [version("crawlerdetect")]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def normalise_slice(
    landing: Landing, limits: settings.Normalise, name: str, source: settings.Source, day: date, *, hash_key: str
) -> Manifest:
    """Normalise the newest raw files of a slice into the landing, and publish and return the manifest with the counts.

    Raise NotLanded if the slice is not in the landing, ExpiredRaw if its raw files are gone, and UnreadableFile if one of
    them cannot be read or decompressed.
    """
    [manifest] = normalise_slices(landing, limits, name, source, [day], hash_key=hash_key)
    return manifest


def normalise_slices(
    landing: Landing,
    limits: settings.Normalise,
    name: str,
    source: settings.Source,
    days: Sequence[date],
    *,
    hash_key: str,
) -> list[Manifest]:
    """Normalise several slices of one source at once, as ``normalise_slice`` does one, and return their manifests.

    What takes longest about a small slice is to plan the queries, which is done once for all. Where one slice fails, none is
    published after it.
    """
    made_by = {"rules": fingerprint_of_rules(source), "key": fingerprint_of_key(hash_key)}
    landed = [_landed(landing, name, day).model_copy(update=made_by) for day in days]
    with ExitStack() as stack:
        scratch = stack.enter_context(temporary.folder())
        texts = [
            _cleaned(landing, manifest, stack, name, day, FORMATS[source.format].layout, scratch)
            for manifest, day in zip(landed, days, strict=True)
        ]
        if not any(texts):
            return [_land(landing, manifest, None) for manifest in landed]
        connection = stack.enter_context(connected(limits, scratch))
        bind(connection, source=name, keeps_all_metadata=False)
        staged = _stage(connection, source, list(chain(*texts)), scratch, hash_key=hash_key, in_order=False)
        normalised = []
        for manifest, day in zip(landed, days, strict=True):
            own = [file for file in staged if file.day == day]
            if own and len(own) < len(staged):
                _narrow(connection, own, scratch)
            bind(connection, load_date=day)
            normalised.append(_land(landing, manifest, connection))
        return normalised


def _landed(landing: Landing, name: str, day: date) -> Manifest:
    manifest = landing.newest(slice_prefix(name, day))
    if manifest is None:
        raise NotLanded(name, day)
    if manifest.raw_expired_on:
        raise ExpiredRaw(name, day, manifest.raw_expired_on)
    return manifest


def _cleaned(
    landing: Landing,
    manifest: Manifest,
    stack: ExitStack,
    name: str,
    day: date,
    layout: documents.Layout,
    scratch: Path,
) -> list[_File]:
    """Return the clean lines of each raw file of a slice, which are there until the stack is closed."""
    files = []
    for raw in manifest.raw:
        path = stack.enter_context(landing.local(landing.path(manifest.prefix, raw.path)))
        try:
            files.append(_File(raw.origin, documents.clean(path, layout, scratch), day))
        except documents.UnreadableError as error:
            raise UnreadableFile(name, day, raw.origin, str(error)) from None
    return files


def _land(landing: Landing, manifest: Manifest, connection: duckdb.DuckDBPyConnection | None) -> Manifest:
    """Land the events and rejects of the staged slice, if it has any files, and publish and return its manifest."""
    done: dict[str, Any] = {"status": "normalised", "reason": None, "counts": Counts(), "events": None, "rejects": None}
    if manifest.raw and connection:
        version = landing.fresh_version()
        keep(connection, "repeats")
        with landing.local_folder(landing.path(manifest.prefix, version)) as folder:
            done["counts"] = _write_parquet(connection, folder)
        done |= {"events": f"{version}/events.parquet", "rejects": f"{version}/rejects.parquet"}
    normalised = manifest.model_copy(update=done)
    landing.publish(normalised)
    return normalised


@dataclass(frozen=True)
class Explanation:
    """The events and rejects of some files, with their counts.

    ``events`` are (file, JSON) and ``rejects`` are (file, line, reason, raw text). Both can be read only inside the block
    of ``explain``. ``unreadable`` maps each file that cannot be read to the reason.
    """

    events: Iterator[tuple[str, str]]
    rejects: Iterator[tuple[str, int, str, str]]
    counts: Counts
    unreadable: dict[str, str]


@contextmanager
def explain(paths: Sequence[Path], source: settings.Source, *, today: date) -> Iterator[Explanation]:
    """Normalise files for display, and yield what they contain. The events keep their e-mail addresses.

    Nothing is stored, and neither a landing nor a configuration is needed.
    """
    with temporary.folder() as scratch, connected(settings.Normalise(), scratch) as connection:
        files, unreadable = [], {}
        for path in paths:
            try:
                files.append(_File(str(path), documents.clean(path, FORMATS[source.format].layout, scratch), today))
            except documents.UnreadableError as error:
                unreadable[str(path)] = str(error)
        bind(connection, keeps_all_metadata=True)
        _stage(connection, source, files, scratch, hash_key="", in_order=True)
        keep(connection, "repeats")
        yield Explanation(
            events=rows(connection, "explained"),
            rejects=rows(connection, "rejects"),
            counts=_counts(connection),
            unreadable=unreadable,
        )


def _stage(
    connection: duckdb.DuckDBPyConnection,
    source: settings.Source,
    files: Sequence[_File],
    scratch: Path,
    *,
    hash_key: str,
    in_order: bool,
) -> Sequence[_File]:
    """Create the view ``staged``: every record with its outcome. Return the files as they were read in the end.

    ``in_order`` keeps the records in the order of the files, which takes longer. JSON is first read as one document a line.
    If lines do not parse, documents may extend over several lines, share one, or lie beside damage: their files are then
    rewritten, and all files are read again.
    """
    bind(connection, is_pixel=FORMATS[source.format].is_pixel, pixel_path=source.pixel_path, hash_key=hash_key)
    keys = [source.recipient_key, source.certificate_key, *source.metadata_keys]
    bind(connection, metadata_keys=keys, metadata_pointers=[_pointer(key) for key in keys])
    connection.execute(f"SET preserve_insertion_order = {in_order}")
    _stage_records(connection, source.format, files, scratch)
    unparsed = relation(connection, "unparsed").fetchall()
    untangled = [
        replace(file, text=documents.untangled(file.text, scratch)) if (str(file.text.path),) in unparsed else file
        for file in files
    ]
    if untangled != files:
        _stage_records(connection, source.format, untangled, scratch)
    return untangled


def _stage_records(connection: duckdb.DuckDBPyConnection, form: str, files: Sequence[_File], scratch: Path) -> None:
    """Define the views of a format over the files, and write the classified records to a Parquet file.

    A Parquet file is used because a table would be held in memory or spilled.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    staged = folder / "staged.parquet"
    _bind_files(connection, files, folder)
    for stem in ("lines", "shifts", "documents", "records", form):
        define(connection, stem)
    if FORMATS[form].is_pixel:
        connection.view(form).create_view("requests")
        define(connection, "pixel")
    connection.view("pixel" if FORMATS[form].is_pixel else form).create_view("format_events")
    for stem in ("raw_events", "classified"):
        define(connection, stem)
    write(connection, "staged", staged, compression="uncompressed")
    connection.read_parquet(str(staged), file_row_number=True).create_view("staged_records")
    connection.view("staged_records").create_view("staged")


def _bind_files(connection: duckdb.DuckDBPyConnection, files: Sequence[_File], scratch: Path) -> None:
    """Bind what the queries need to know of the files. An empty file stands for none."""
    nothing = scratch / "nothing"
    nothing.touch()
    texts, limits = [file.text for file in files], {file.day + timedelta(days=2) for file in files}
    bind(
        connection,
        files=[str(text.path) for text in texts] or [str(nothing)],
        origins=[file.origin for file in files] or [""],
        time_limits=[str(file.day + timedelta(days=2)) for file in files] or [""],
        only_time_limit=datetime.combine(limits.pop(), time()) if len(limits) == 1 else None,
        one_line_files=[str(text.path) for text in texts if text.is_all_line_one],
        copies=[str(text.path) for text in texts if text.shifts] or [""],
        shift_files=[str(text.shifts) for text in texts if text.shifts] or [str(nothing)],
    )


def _narrow(connection: duckdb.DuckDBPyConnection, files: Sequence[_File], scratch: Path) -> None:
    """Narrow the staged records to those of some files, and so all views over them."""
    _bind_files(connection, files, scratch)
    for stem in ("lines", "shifts", "staged_of_files"):
        define(connection, stem)
    connection.view("staged_of_files").create_view("staged")


def _write_parquet(connection: duckdb.DuckDBPyConnection, folder: Path) -> Counts:
    counts = _counts(connection)
    write(connection, "events", folder / "events.parquet", compression="zstd, COMPRESSION_LEVEL 1")
    connection.execute("SET preserve_insertion_order = true")  # rejects have the line numbers of the files
    define(connection, "rejects")
    rejects = relation(connection, "landed_rejects").limit(counts.reject)  # LIMIT 0 spares the search for lines
    rejects.write_parquet(str(folder / "rejects.parquet"), compression="zstd")
    return counts


def _counts(connection: duckdb.DuckDBPyConnection) -> Counts:
    raw, event, duplicate, reject, ignored = relation(connection, "outcomes").fetchall()[0]
    if raw != event + duplicate + reject + ignored:
        raise AssertionError(
            f"{raw} records became {event} events, {duplicate} duplicates, {reject} rejects, {ignored} ignored"
        )
    return Counts(raw=raw, event=event, duplicate=duplicate, reject=reject, ignored=ignored)


def reject_reasons(landing: Landing, manifest: Manifest, stem: str = "reject_reasons") -> list[Any]:
    """Return the rows of a query over the landed rejects of a version, which hold no address; none without rejects.

    ``stem`` is ``reject_reasons`` for a slice: reason, count, file and line of one example. ``registry/reject_reasons`` is
    for the registry: table, reason, count.
    """
    if not manifest.rejects or not manifest.counts.reject:
        return []
    with landing.local(landing.path(manifest.prefix, manifest.rejects)) as path, duckdb.connect() as connection:
        connection.read_parquet(str(path)).create_view("landed")
        return relation(connection, stem).fetchall()


def _pointer(key: str) -> str:
    """Return the JSON pointer (RFC 6901) of a top-level key."""
    return "/" + key.replace("~", "~0").replace("/", "~1")
