"""Raw files as clean text lines, which is all that DuckDB's readers are given.

A plain file of UTF-8 lines is read where it lies. Anything else is copied in bounded memory: decompressed, bytes that are
not UTF-8 replaced by U+FFFD, JSON documents that spread over lines, or share one, put on a line each, and endless lines
cut. A copy keeps a document on the number of the line where it began, so that a reject can be found in the raw file.
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

from etl.normalise.splitter import LONGEST_LINE, LineWriter, Splitter

Layout = Literal["json", "lines"]

_COMPRESSED = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
"""The first bytes of a compressed file, and the ending that says so."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CHUNK = 1 << 20
_SCAN = 1 << 18  # what a processor keeps at hand: the searches go over it several times
_DELIMITER = "\x01"  # lines.sql reads whole lines by naming a delimiter that none of them has
_UNSTORABLE = {0: "\ufffd", ord(_DELIMITER): "\ufffd"}
_SEVERAL_ON_A_LINE = re.compile(r"\}[ \t]*[{\[]")
_SEVERAL_ARRAYS = re.compile(r"\][ \t]*[{\[]")
_UNUSUAL_LINE = re.compile(r"\n(?:(?!\{|\Z)|(?<=[^}]\n))")
_PART_OF_A_DOCUMENT = re.compile(r"\n(?![ \t]*(?:#.*|[{\[].*[}\]][ \t]*)?(?:\n|\Z))")
_FORM_BODY = re.compile(r"[\w.%+*-]+=\S*")


class UnreadableError(Exception):
    """A file cannot be opened or decompressed; the text says why."""


@dataclass(frozen=True)
class Text:
    """Clean lines of one raw file: where they lie, and what is known of them.

    All of them may be line 1 of the file (one document, or one line); documents may still spread over lines, or share one.
    """

    raw: Path
    path: Path
    is_all_line_one: bool = False
    may_spread: bool = False


def clean(raw: Path, layout: Layout, scratch: Path) -> Text:
    """The clean lines of a raw file, by a name in the scratch folder; UnreadableError says why there are none.

    JSON is taken for a document a line where the first line is one: see ``untangled``. The name is fresh: DuckDB would take
    brackets and asterisks in a user's file name for a pattern.
    """
    try:
        _require_ending(raw)
        first = _first_line(raw)
        if layout == "json" and not _FORM_BODY.fullmatch(first):
            return Text(raw, _lines(raw, scratch), may_spread=True) if _is_document(first) else _spread(raw, scratch)
        return Text(raw, _lines(raw, scratch))
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        if getattr(error, "errno", None) in _FULL:  # the copy could not be written: the raw file is not at fault
            raise
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def untangled(text: Text, scratch: Path) -> Text:
    """JSON of which some lines do not parse, a document a line; the same text where documents neither spread nor share lines."""
    return _spread(text.raw, scratch) if text.may_spread and not _is_line_by_line(text.raw) else text


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
    """The lines of a file: itself where DuckDB can read it as it is, else a clean copy."""
    lines = _fresh(scratch)
    if raw.suffix in _COMPRESSED.values() or not _is_clean(raw):
        _copy(raw, lines)
    else:
        lines.unlink()
        lines.symlink_to(raw.absolute())
    return lines


def _fresh(scratch: Path) -> Path:
    descriptor, name = tempfile.mkstemp(dir=scratch)
    os.close(descriptor)
    return Path(name)


def _is_clean(raw: Path) -> bool:
    """Whether a plain file is UTF-8 without carriage return, NUL, delimiter or endless line."""
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


def _is_line_by_line(raw: Path) -> bool:
    """Whether each line holds a document or none.

    A line of a usual file begins and ends with a brace, which two quick searches see; only where they find anything else
    are blank lines, remarks and arrays told from documents that spread. A string, or damage, may look like a spread
    too: what reads those finds the same documents, merely later.
    """
    is_begun = False
    with _opened(raw) as source:
        for lines in filter(None, _decoded(source)):
            text = f"\n{lines}"
            if is_begun or _SEVERAL_ON_A_LINE.search(text):
                return False
            if _UNUSUAL_LINE.search(text) and (_PART_OF_A_DOCUMENT.search(text) or _SEVERAL_ARRAYS.search(text)):
                return False
            is_begun = not text.endswith("\n")
    return True


def _first_line(raw: Path) -> str:
    """The first line with text on it that is no comment; '' without one."""
    with _opened(raw) as file:
        for line in iter(lambda: file.readline(LONGEST_LINE), b""):
            text = line.decode("utf-8-sig", "replace").strip()
            if text and not text.startswith("#"):
                return text
    return ""


def _is_document(text: str) -> bool:
    """Whether a first line is a whole JSON object or array, or there is none: then the others are taken line by line."""
    try:
        return not text or isinstance(json.loads(text, parse_int=str, parse_float=str), dict | list)
    except (ValueError, RecursionError):
        return False


def _copy(raw: Path, copy: Path) -> None:
    """Line by line; what goes beyond the longest line that can be read is left out, and the rest does not parse."""
    room = LONGEST_LINE
    with _opened(raw) as source, copy.open("w", encoding="utf-8", newline="\n") as target:
        for text in filter(None, _decoded(source)):
            first, last = text.find("\n"), text.rfind("\n")
            begun = len(text) if first < 0 else first
            target.write(text if begun <= room else text[:room] + text[begun:])
            room = max(0, room - begun) if last < 0 else LONGEST_LINE - (len(text) - last)


def _spread(raw: Path, scratch: Path) -> Text:
    """Document by document."""
    copy = _fresh(scratch)
    with _opened(raw) as source, copy.open("w", encoding="utf-8", newline="\n") as target:
        splitter = Splitter(_decoded(source), LineWriter(target))
        documents = sum(1 for _ in splitter.documents())
        splitter.writer.flush()
        return Text(raw, copy, is_all_line_one=documents == 1 or splitter.line == 1)


def _decoded(source: BinaryIO) -> Iterator[str]:
    """The file's text, lines ended by a bare newline; whole ones, where they are shorter than a chunk."""
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
