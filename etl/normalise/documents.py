"""Turn raw files into clean text lines for DuckDB.

DuckDB reads a plain file of UTF-8 lines in place. Any other file is copied, in bounded memory. The copy is decompressed,
bytes that are not UTF-8 become U+FFFD, and overlong lines are cut. JSON documents that extend over several lines are
joined, and documents that share a line become one array. Each document stays on the number of the line where it began, so
that a reject can be found in the raw file.
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
"""The first bytes of each kind of compressed file, and the ending that its name must have."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CHUNK = 1 << 20
_SCAN = 1 << 18  # small enough for a processor's cache, because each chunk is searched several times
_DELIMITER = "\x01"  # lines.sql reads whole lines, because no line contains its delimiter
_UNSTORABLE = {0: "\ufffd", ord(_DELIMITER): "\ufffd"}
_SEVERAL_ON_A_LINE = re.compile(r"\}[ \t]*[{\[]")
_SEVERAL_ARRAYS = re.compile(r"\][ \t]*[{\[]")
_UNUSUAL_LINE = re.compile(r"\n(?:(?!\{|\Z)|(?<=[^}]\n))")
_PART_OF_A_DOCUMENT = re.compile(r"\n(?![ \t]*(?:#.*|[{\[].*[}\]][ \t]*)?(?:\n|\Z))")
_FORM_BODY = re.compile(r"[\w.%+*-]+=\S*")


class UnreadableError(Exception):
    """The error for a file that cannot be opened or decompressed; its text gives the reason."""


@dataclass(frozen=True)
class Text:
    """The clean lines of one raw file.

    ``raw`` is the raw file and ``path`` the file with the clean lines. ``is_all_line_one`` means that all rejects are on
    line 1: the raw file is one document or one line. ``may_spread`` means that JSON documents may extend over several lines
    or share one.
    """

    raw: Path
    path: Path
    is_all_line_one: bool = False
    may_spread: bool = False


def clean(raw: Path, layout: Layout, scratch: Path) -> Text:
    """Return the clean lines of a raw file, as a file in the scratch folder.

    If the first line is a JSON document, every line is assumed to be one; ``untangled`` corrects this. The file gets a
    new name, because DuckDB reads brackets and asterisks in a name as a pattern. Raise UnreadableError if the file cannot
    be opened or decompressed.
    """
    try:
        _require_ending(raw)
        first = _first_line(raw)
        if layout == "json" and not _FORM_BODY.fullmatch(first):
            return Text(raw, _lines(raw, scratch), may_spread=True) if _is_document(first) else _split(raw, scratch)
        return Text(raw, _lines(raw, scratch))
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        if getattr(error, "errno", None) in _FULL:  # the copy could not be written: the raw file is not at fault
            raise
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def untangled(text: Text, scratch: Path) -> Text:
    """Rewrite JSON of which some lines do not parse, so that each document begins a line.

    Return the same text if no document extends over several lines or shares one.
    """
    return _split(text.raw, scratch) if text.may_spread and not _is_line_by_line(text.raw) else text


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


def _is_line_by_line(raw: Path) -> bool:
    """Tell whether each line holds at most one document.

    In a usual file each line begins and ends with a brace, which two quick searches check. Only if these find something
    else, slower searches distinguish blank lines, comments and arrays from documents that extend over several lines. A
    string or damaged JSON may look like such a document. The answer False is then wrong but harmless: the splitter finds
    the same documents, only more slowly.
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


def _copy_lines(raw: Path, copy: Path) -> None:
    """Copy a file line by line. Lines are cut at ``LONGEST_LINE``; JSON that was cut does not parse."""
    room = LONGEST_LINE
    with _opened(raw) as source, copy.open("w", encoding="utf-8", newline="\n") as target:
        for text in filter(None, _decoded(source)):
            first, last = text.find("\n"), text.rfind("\n")
            begun = len(text) if first < 0 else first
            target.write(text if begun <= room else text[:room] + text[begun:])
            room = max(0, room - begun) if last < 0 else LONGEST_LINE - (len(text) - last)


def _split(raw: Path, scratch: Path) -> Text:
    """Copy a file document by document, each on the line where it began."""
    copy = _fresh(scratch)
    with _opened(raw) as source, copy.open("w", encoding="utf-8", newline="\n") as target:
        splitter = Splitter(_decoded(source), LineWriter(target))
        documents = sum(1 for _ in splitter.documents())
        splitter.writer.flush()
        return Text(raw, copy, is_all_line_one=documents == 1 or splitter.line == 1)


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
