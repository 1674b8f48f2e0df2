"""Turn raw files into clean text lines for DuckDB.

DuckDB reads a plain file of UTF-8 lines in place. Any other file is copied, in bounded memory. The copy is decompressed,
bytes that are not UTF-8 become U+FFFD, and overlong lines are cut. JSON in which documents extend over several lines, share
one, or lie beside damage is copied document by document. A second file then says where the numbers of the lines differ
from the raw file's, so that a reject can be found there.
"""

import codecs
import errno
import gzip
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from backports import zstd

from etl.normalise.splitter import LONGEST_LINE, PieceWriter, Splitter

Layout = Literal["json", "json_with_hex_escapes", "lines_or_json", "lines"]

_COMPRESSED = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
"""The first bytes of each kind of compressed file, and the ending that its name must have."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CHUNK = 1 << 20
_SCAN = 1 << 18  # small enough for a processor's cache, because each chunk is searched several times
_DELIMITER = "\x01"  # lines.sql reads whole lines, because no line contains its delimiter
_UNSTORABLE = {0: "\ufffd", ord(_DELIMITER): "\ufffd"}
_BREAKS = (b"}\n{", b"]\n[", b"}\n[", b"]\n{")  # between two lines of JSON; the usual one first
_FORM_BODY = re.compile(r"[\w.%+*-]+=\S*")


class UnreadableError(Exception):
    """The error for a file that cannot be opened or decompressed; its text gives the reason."""


@dataclass(frozen=True)
class Text:
    """The clean lines of one raw file.

    ``raw`` is the raw file and ``path`` the file with the clean lines. ``shifts`` is the file that says where the lines of
    ``path`` have other numbers than the raw file's; None if nowhere. ``is_all_line_one`` means that all rejects are on line 1:
    the raw file is one document or one line. ``may_spread`` means that JSON documents may extend over several lines or share
    one.
    """

    raw: Path
    path: Path
    layout: Layout
    shifts: Path | None = None
    is_all_line_one: bool = False
    may_spread: bool = False


def clean(raw: Path, layout: Layout, scratch: Path) -> Text:
    """Return the clean lines of a raw file, as a file in the scratch folder.

    If the first line is a JSON document, and the other lines look like documents, every line is assumed to be one. So it is
    if the first line is a form's body. ``untangled`` corrects this. The file gets a new name, because DuckDB reads brackets
    and asterisks in a name as a pattern. Raise UnreadableError if the file cannot be opened or decompressed.
    """
    try:
        _require_ending(raw)
        first = _first_line(raw)
        is_json = layout.startswith("json") or (layout == "lines_or_json" and first.startswith(("{", "[")))
        is_form = _FORM_BODY.fullmatch(first) is not None
        if is_json and not is_form and not _is_document(first):
            return _split(raw, layout, scratch)
        lines = _lines(raw, scratch)
        if is_json and not is_form and not _look_like_documents(lines):
            return _split(raw, layout, scratch)
        return Text(raw, lines, layout, may_spread=is_json)
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        if getattr(error, "errno", None) in _FULL:  # the copy could not be written: the raw file is not at fault
            raise
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def untangled(text: Text, scratch: Path) -> Text:
    """Rewrite JSON of which some lines do not parse, so that each document has a line of its own.

    Return the same text if that was done already, or if the text is no JSON.
    """
    return _split(text.raw, text.layout, scratch) if text.may_spread else text


def _require_ending(raw: Path) -> None:
    with raw.open("rb") as file:
        first = file.read(4)
    for mark, ending in _COMPRESSED.items():
        if first.startswith(mark) and raw.suffix not in _COMPRESSED.values():
            raise UnreadableError(f"it is compressed; let its name end in {ending}")


def _opened(raw: Path) -> BinaryIO:
    if raw.suffix in _COMPRESSED.values() and raw.stat().st_size == 0:
        raise EOFError("a compressed file is never empty")
    if raw.suffix == ".gz":
        return gzip.open(raw)  # type: ignore[return-value]  # GzipFile reads like a binary file
    return zstd.open(raw) if raw.suffix == ".zst" else raw.open("rb")  # type: ignore[return-value]


def _lines(raw: Path, scratch: Path) -> Path:
    """Return a link to the file if DuckDB can read it as it is, else a clean copy."""
    lines = _fresh(scratch)
    if raw.suffix in _COMPRESSED.values() or not _is_clean(raw):
        _copy_lines(raw, lines)
    else:
        lines.unlink()
        lines.symlink_to(raw.absolute())
    return lines


def _fresh(scratch: Path) -> Path:
    descriptor, name = tempfile.mkstemp(dir=scratch)
    os.close(descriptor)
    return Path(name)


def _is_clean(raw: Path) -> bool:
    """Tell whether a plain file is UTF-8 without carriage returns, NULs, delimiters and overlong lines."""
    with raw.open("rb") as file:
        while chunk := file.read(_SCAN):
            rest = b"" if chunk.endswith(b"\n") else file.readline(LONGEST_LINE)
            lines = chunk.removeprefix(codecs.BOM_UTF8) + rest
            if len(rest) == LONGEST_LINE or b"\r" in lines or b"\0" in lines or _DELIMITER.encode() in lines:
                return False
            try:
                lines.decode()
            except UnicodeDecodeError:
                return False
    return True


def _first_line(raw: Path) -> str:
    """Return the first line that is neither blank nor a comment, or '' if there is none."""
    with _opened(raw) as file:
        for line in iter(lambda: file.readline(LONGEST_LINE), b""):
            text = line.decode("utf-8-sig", "replace").strip()
            if text and not text.startswith("#"):
                return text
    return ""


def _is_document(text: str) -> bool:
    """Tell whether a first line is empty or a whole JSON object or array, so that the file can be read line by line."""
    try:
        return not text or isinstance(json.loads(text, parse_int=str, parse_float=str), dict | list)
    except (ValueError, RecursionError):
        return False


def _look_like_documents(lines: Path) -> bool:
    """Tell whether between any two lines a bracket closes and a bracket opens.

    This finds most damage before the records are read, which would then be read twice. It takes a thirtieth of their time.
    """
    with lines.open("rb") as file:
        while chunk := file.read(_SCAN) + file.readline():
            text = chunk.removesuffix(b"\n")
            line_ends = text.count(b"\n")
            if line_ends != text.count(_BREAKS[0]) and line_ends != sum(map(text.count, _BREAKS)):
                return False
    return True


def _copy_lines(raw: Path, copy: Path) -> None:
    """Copy a file line by line. Lines are cut at ``LONGEST_LINE``; JSON that was cut does not parse."""
    room = LONGEST_LINE
    with _opened(raw) as source, copy.open("w", encoding="utf-8", newline="\n") as target:
        for text in filter(None, _decoded(source)):
            first, last = text.find("\n"), text.rfind("\n")
            begun = len(text) if first < 0 else first
            target.write(text if begun <= room else text[:room] + text[begun:])
            room = max(0, room - begun) if last < 0 else LONGEST_LINE - (len(text) - last)


def _split(raw: Path, layout: Layout, scratch: Path) -> Text:
    """Copy a file document by document, and say on which lines of the raw file they began."""
    copy, shifts = _fresh(scratch), _fresh(scratch)
    with (
        _opened(raw) as source,
        copy.open("w", encoding="utf-8", newline="\n") as target,
        shifts.open("w", encoding="utf-8") as target_of_shifts,
    ):
        writer = PieceWriter(target, target_of_shifts)
        is_one = Splitter(_decoded(source), writer, has_hex_escapes=layout == "json_with_hex_escapes").split()
    return Text(raw, copy, layout, shifts, is_all_line_one=is_one)


def _decoded(source: BinaryIO) -> Iterator[str]:
    """Yield the file's text with lines ended by a bare newline. Lines shorter than a chunk are never divided."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    held = ""
    while chunk := source.read(_CHUNK) + source.readline(_CHUNK):
        text = held + decoder.decode(chunk)
        held = "\r" if text.endswith("\r") else ""
        yield _plain(text.removesuffix("\r"))
    yield _plain(held + decoder.decode(b"", final=True))


def _plain(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", " ")
    return text.translate(_UNSTORABLE) if "\0" in text or _DELIMITER in text else text
