"""Turns a slice's raw bytes into events and rejects: one vocabulary for every provider and access log.

The work is SQL (``sql/normalise/``), run by DuckDB in this process, in the memory that the configuration grants, spilling
to disk beyond it. A format is a view over the records; what all formats share is in ``classified.sql``.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import duckdb

from etl import scratch as temporary
from etl import settings
from etl.errors import ConfigurationError, NotLanded, UnreadableFile
from etl.landing import Counts, Landing, Manifest, slice_prefix
from etl.normalise import documents
from etl.normalise.session import bind, connected, define, relation, rows, write


@dataclass(frozen=True)
class Format:
    """How a log is read: its layout, and whether its records are requests of the tracking pixel."""

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
    "nginx_json": Format("json", is_pixel=True),
    "cloudflare": Format("json", is_pixel=True),
    "brevo": Format("json"),
    "mailjet": Format("json"),
    "resend": Format("json"),
    "mailersend": Format("json"),
    "alb": Format("lines", is_pixel=True),
    "cloudfront": Format("lines", is_pixel=True),
    "mailtrap": Format("json"),
    "postal": Format("json"),
    "unisender_go": Format("json"),
}
"""Every format by its name, which is the stem of its SQL."""


def check_formats(sources: dict[str, settings.Source]) -> None:
    """A ConfigurationError for the first source whose format is none of ours."""
    for name, source in sources.items():
        if source.format not in FORMATS:
            raise ConfigurationError(
                f"sources.{name}.format {source.format!r} is unknown; there are {', '.join(FORMATS)}"
            )


def normalise_slice(
    landing: Landing, limits: settings.Normalise, name: str, source: settings.Source, day: date, *, hash_key: str
) -> Manifest:
    """Normalises the newest raw files of a slice into the landing and publishes the version with its counts.

    Raises NotLanded without raw files, UnreadableFile for a file that cannot be decompressed.
    """
    manifest = landing.newest(slice_prefix(name, day))
    if manifest is None:
        raise NotLanded(name, day)
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
        counts = _land(connection, folder)
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
    """What became of some files, each row with its file: events as JSON and rejects, read while the block lasts.

    Beside them the counts, and the files that cannot be read with the reason.
    """

    events: Iterator[tuple[str, str]]
    rejects: Iterator[tuple[str, int, str, str]]
    counts: Counts
    unreadable: dict[str, str]


@contextmanager
def explain(paths: Sequence[Path], source: settings.Source, *, today: date) -> Iterator[Explanation]:
    """Normalises files for a reader: events as (file, a line of JSON with its address), rejects as (file, line, reason, raw).

    Keeps nothing, needs no landing and no configuration.
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
    """Stages every record with its verdict, and which repeat another; to keep the order of the files takes longer.

    Only lines that do not parse tell that documents may spread over lines, or share one: then all is read once more.
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
    """Defines the views of a format over the files, and writes what they say of each record to a file of its own.

    A table would be held in memory, or spilled.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    nothing, staged = folder / "nothing", folder / "staged.parquet"
    nothing.touch()
    bind(
        connection,
        files=[str(text.path) for _, text in texts] or [str(nothing)],
        origins=[origin for origin, _ in texts] or [""],
        one_line_files=[str(text.path) for _, text in texts if text.is_all_line_one],
    )
    for stem in ("lines", "documents", "records", form):
        define(connection, stem)
    if FORMATS[form].is_pixel:
        connection.view(form).create_view("requests")
        define(connection, "pixel")
    connection.view("pixel" if FORMATS[form].is_pixel else form).create_view("format_events")
    for stem in ("raw_events", "classified"):
        define(connection, stem)
    write(connection, "staged", staged, compression="uncompressed")
    connection.read_parquet(str(staged), file_row_number=True).create_view("staged")


def _land(connection: duckdb.DuckDBPyConnection, folder: Path) -> Counts:
    counts = _counts(connection)
    write(connection, "events", folder / "events.parquet", compression="zstd, COMPRESSION_LEVEL 1")
    connection.execute("SET preserve_insertion_order = true")  # rejects are numbered by the lines of the files
    define(connection, "rejects")
    rejects = relation(connection, "landed_rejects").limit(counts.reject)  # none: then no line is looked for
    rejects.write_parquet(str(folder / "rejects.parquet"), compression="zstd")
    return counts


def _counts(connection: duckdb.DuckDBPyConnection) -> Counts:
    raw, event, duplicate, reject, ignored = relation(connection, "outcomes").fetchall()[0]
    if raw != event + duplicate + reject + ignored:
        raise AssertionError(
            f"{raw} records became {event} events, {duplicate} duplicates, {reject} rejects, {ignored} ignored"
        )
    return Counts(raw=raw, event=event, duplicate=duplicate, reject=reject, ignored=ignored)


def _pointer(key: str) -> str:
    """The JSON pointer of a top-level key (RFC 6901)."""
    return "/" + key.replace("~", "~0").replace("/", "~1")
