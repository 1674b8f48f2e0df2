"""Turn a slice's raw bytes into events and rejects, in one vocabulary for all providers and access logs.

The rules are SQL (``sql/normalise/``). DuckDB runs it in this process, within the configured memory limit, and spills to
disk beyond that. Each format is a view over the records; the rules that all formats share are in ``classified.sql``.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb

from etl import scratch as temporary
from etl import settings
from etl.errors import ConfigurationError, ExpiredRaw, NotLanded, UnreadableFile
from etl.landing import Counts, Landing, Manifest, slice_prefix
from etl.normalise import documents
from etl.normalise.session import bind, connected, define, relation, rows, write


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


def check_formats(sources: dict[str, settings.Source]) -> None:
    """Raise a ConfigurationError for the first source whose format is not in ``FORMATS``."""
    for name, source in sources.items():
        if source.format not in FORMATS:
            raise ConfigurationError(
                f"sources.{name}.format {source.format!r} is unknown; there are {', '.join(FORMATS)}"
            )


def normalise_slice(
    landing: Landing, limits: settings.Normalise, name: str, source: settings.Source, day: date, *, hash_key: str
) -> Manifest:
    """Normalise the newest raw files of a slice into the landing, and publish and return the manifest with the counts.

    Raise NotLanded if the slice is not in the landing, ExpiredRaw if its raw files are gone, and UnreadableFile if one of
    them cannot be read or decompressed.
    """
    manifest = landing.newest(slice_prefix(name, day))
    if manifest is None:
        raise NotLanded(name, day)
    if manifest.raw_expired_on:
        raise ExpiredRaw(name, day, manifest.raw_expired_on)
    if not manifest.raw:
        empty = manifest.model_copy(
            update={"status": "normalised", "counts": Counts(), "events": None, "rejects": None}
        )
        landing.publish(empty)
        return empty
    version = landing.fresh_version()
    with ExitStack() as stack:
        scratch = stack.enter_context(temporary.folder())
        folder = stack.enter_context(landing.local_folder(landing.path(manifest.prefix, version)))
        texts = []
        for file in manifest.raw:
            path = stack.enter_context(landing.local(landing.path(manifest.prefix, file.path)))
            try:
                texts.append((file.origin, documents.clean(path, FORMATS[source.format].layout, scratch)))
            except documents.UnreadableError as error:
                raise UnreadableFile(name, day, file.origin, str(error)) from None
        connection = stack.enter_context(connected(limits, scratch))
        bind(connection, source=name, load_date=day)
        _stage(connection, source, texts, scratch, before=day + timedelta(days=2), hash_key=hash_key, in_order=False)
        counts = _write_parquet(connection, folder)
    normalised = manifest.model_copy(
        update={
            "events": f"{version}/events.parquet",
            "rejects": f"{version}/rejects.parquet",
            "counts": counts,
            "status": "normalised",
            "reason": None,
        }
    )
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
        texts, unreadable = [], {}
        for path in paths:
            try:
                texts.append((str(path), documents.clean(path, FORMATS[source.format].layout, scratch)))
            except documents.UnreadableError as error:
                unreadable[str(path)] = str(error)
        _stage(connection, source, texts, scratch, before=today + timedelta(days=2), hash_key="", in_order=True)
        yield Explanation(
            events=rows(connection, "explained"),
            rejects=rows(connection, "rejects"),
            counts=_counts(connection),
            unreadable=unreadable,
        )


def _stage(
    connection: duckdb.DuckDBPyConnection,
    source: settings.Source,
    texts: Sequence[tuple[str, documents.Text]],
    scratch: Path,
    *,
    before: date,
    hash_key: str,
    in_order: bool,
) -> None:
    """Create the view ``staged`` (every record with its outcome) and the table ``repeats``.

    ``in_order`` keeps the records in the order of the files, which takes longer. JSON is first read as one document a line.
    If lines do not parse, documents may extend over several lines, share one, or lie beside damage: their files are then
    rewritten, and all files are read again.
    """
    time_limit = datetime.combine(before, time())
    bind(connection, is_pixel=FORMATS[source.format].is_pixel, pixel_path=source.pixel_path, time_limit=time_limit)
    bind(connection, id_pointers=[_pointer(source.recipient_key), _pointer(source.certificate_key)], hash_key=hash_key)
    connection.execute(f"SET preserve_insertion_order = {in_order}")
    _stage_records(connection, source.format, texts, scratch)
    unparsed = relation(connection, "unparsed").fetchall()
    untangled = [
        (origin, documents.untangled(text, scratch) if (str(text.path),) in unparsed else text)
        for origin, text in texts
    ]
    if untangled != texts:
        _stage_records(connection, source.format, untangled, scratch)
    relation(connection, "repeats").create("repeats")


def _stage_records(
    connection: duckdb.DuckDBPyConnection, form: str, texts: Sequence[tuple[str, documents.Text]], scratch: Path
) -> None:
    """Define the views of a format over the files, and write the classified records to a Parquet file.

    A file is used because a table would be held in memory or spilled.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    nothing, staged = folder / "nothing", folder / "staged.parquet"
    nothing.touch()
    bind(
        connection,
        files=[str(text.path) for _, text in texts] or [str(nothing)],
        origins=[origin for origin, _ in texts] or [""],
        one_line_files=[str(text.path) for _, text in texts if text.is_all_line_one],
        copies=[str(text.path) for _, text in texts if text.shifts] or [""],
        shift_files=[str(text.shifts) for _, text in texts if text.shifts] or [str(nothing)],
    )
    for stem in ("lines", "shifts", "documents", "records", form):
        define(connection, stem)
    if FORMATS[form].is_pixel:
        connection.view(form).create_view("requests")
        define(connection, "pixel")
    connection.view("pixel" if FORMATS[form].is_pixel else form).create_view("format_events")
    for stem in ("raw_events", "classified"):
        define(connection, stem)
    write(connection, "staged", staged, compression="uncompressed")
    connection.read_parquet(str(staged), file_row_number=True).create_view("staged")


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
