"""Read a table of CSV as spreadsheets and databases write it, in several encodings, separators and spellings of a header.

A file is read as another encoding than UTF-8, or with another separator than the comma, only where the bytes leave no
doubt. A byte that cannot be decoded becomes ``UNDECODABLE``, so that the row that has it can be listed.
"""

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

UNDECODABLE = "\udcff"
"""A lone surrogate, which no decoded text has."""

Record = tuple[int, list[str] | None]
"""The line on which a CSV record begins, and its fields, or None if it does not fit the header."""

_LONGEST_RECORD = 64 << 20  # characters; also how far the CSV reader follows a quote that is not closed
_CHUNK = 1 << 20
_SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_AROUND_A_NAME = '"\ufeff\u200b\u200c\u200d\u2060'
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHER_FILES = {
    b"PK\x03\x04": "it is a workbook or a ZIP file; save it as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "it is a workbook; save it as CSV UTF-8",
    b"\x1f\x8b": "it is compressed; unpack it",
    b"\x28\xb5\x2f\xfd": "it is compressed; unpack it",
}
_PADDED_QUOTE = re.compile(rb'(?:^|,)\s+"')
_DOUBTFUL = re.compile(
    # signs that no Western name has,
    "[^\x00-\x7fÀ-ÖØ-öø-ÿŠšŽžŒœŸ‘’“”–—…«»¡¿ªº·´€™®©°§\xa0]"  # noqa: RUF001
    # three accented letters in a row, as Cyrillic or Chinese gives, or a capital after a small letter, as from an old Mac
    "|[À-ÖØ-öø-ÿŠšŽžŒœŸ]{3}|[a-zß-öø-ÿšžœ][À-ÖØ-ÞŠŽŒŸ]"
)


class UnreadableTableError(Exception):
    """The error for a file that is no CSV; its text gives the reason and what to do."""


@dataclass(frozen=True)
class Encoding:
    """A file's encoding. It ``is_assumed`` where neither a mark nor the bytes themselves prove it."""

    codec: str
    is_assumed: bool = False


@dataclass(frozen=True)
class Table:
    """A table of CSV: its encoding, the names of its columns, and its records.

    ``plain_lines`` is the number of its lines where it is plain: UTF-8 with commas, its header on the first line, every line
    with the same end, and without a NUL or blanks before a quote. Else it is None.
    """

    encoding: Encoding
    header: Sequence[str]
    records: Iterator[Record]
    plain_lines: int | None


@contextmanager
def opened(path: Path, known: Sequence[str]) -> Iterator[Table]:
    """Open a CSV file, whose separator is the one by which most of the ``known`` columns are found, else most columns.

    Names in the header are in small letters, with ``_`` for blanks and hyphens. Raise UnreadableTableError for a file of
    another kind.
    """
    encoding = _encoding(path)
    codecs.register_error("undecodable", lambda error: (UNDECODABLE, error.end))  # type: ignore[attr-defined]
    with path.open(encoding=encoding.codec, errors="undecodable", newline="") as text:
        ends_with_cr = text.readline(_LONGEST_RECORD).endswith("\r")  # as on an old Mac
    with path.open(encoding=encoding.codec, errors="undecodable", newline=None if ends_with_cr else "\n") as text:
        lines = _lines(text)
        separators: tuple[str, ...] = _SEPARATORS
        number, line = _first(lines)
        if given := _SEPARATOR_LINE.fullmatch(line):
            separators = (given[1],)
            skipped, line = _first(lines)
            number += skipped
        headers = {separator: _names(line, separator) for separator in separators}
        separator = max(headers, key=lambda each: (len(set(known) & set(headers[each])), len(headers[each])))
        records = _records(chain([line], lines), separator, number)
        next(records, None)
        is_usual = (separator, number) == (",", 1) and encoding.codec in ("utf-8", "utf-8-sig")
        yield Table(encoding, headers[separator], records, _plain_lines(path) if is_usual else None)


def _plain_lines(path: Path) -> int | None:
    """Return the number of lines of a file, or None.

    None is where their ends differ, and where one has a NUL, another carriage return, or blanks before a quote.
    """
    with path.open("rb") as file:
        end = b"\r\n" if file.readline().endswith(b"\r\n") else b"\n"
        file.seek(0)
        lines = 0
        for line in file:
            if b"\0" in line or b"\r" in line.removesuffix(end) or (b'"' in line and _PADDED_QUOTE.search(line)):
                return None
            lines += 1
        return lines


def _first(lines: Iterator[str]) -> tuple[int, str]:
    """Return the first line that is not blank, and which it is, counted from 1. At the end of the file it is empty."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            return number, line
    return 1, ""


def _names(line: str, separator: str) -> list[str]:
    names = next(csv.reader([line], delimiter=separator), [])
    return [re.sub(r"[\s-]+", "_", name.strip().strip(_AROUND_A_NAME).strip().lower()) for name in names]


def _encoding(path: Path) -> Encoding:
    with path.open("rb") as file:
        first = file.read(4)
    for start, reason in _OTHER_FILES.items():
        if first.startswith(start):
            raise UnreadableTableError(reason)
    for mark, codec in _MARKS.items():
        if first.startswith(mark):
            return Encoding(codec)
    if re.fullmatch(rb"(?s:[^\0]\0){2}", first):
        return Encoding("utf-16-le")
    if re.fullmatch(rb"(?s:\0[^\0]){2}", first):
        return Encoding("utf-16-be")
    return Encoding("cp1252", is_assumed=True) if _is_western(path) else Encoding("utf-8")


def _is_western(path: Path) -> bool:
    """Tell whether a file is surely Windows-1252: not UTF-8, not in part either, and read as Western names."""
    try:
        all(True for _ in _decoded(path, "utf-8", "strict"))
    except UnicodeDecodeError:
        try:
            return all(chunk.isascii() for chunk in _decoded(path, "utf-8", "ignore")) and not any(
                map(_DOUBTFUL.search, _decoded(path, "cp1252", "strict"))
            )
        except UnicodeDecodeError:
            return False
    return False


def _decoded(path: Path, codec: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)(errors)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield the lines, ended by a bare newline and cut where they are overlong."""
    while line := text.readline(_LONGEST_RECORD):
        rest = line
        while rest and not rest.endswith("\n"):
            rest = text.readline(_LONGEST_RECORD)
        if "\r" in line:
            line = line.replace("\r\n", "\n").replace("\r", " ")
        yield line.replace("\0", "\ufffd")


class _Lines:
    """An iterator over the lines of a text, which can take back the lines of the current record."""

    def __init__(self, text: Iterable[str]) -> None:
        self.text, self.waiting, self.taken, self.size = iter(text), deque[str](), list[str](), 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.waiting.popleft() if self.waiting else next(self.text)
        self.taken.append(line)
        self.size += len(line)
        if self.size > _LONGEST_RECORD and len(self.taken) > 1:
            raise csv.Error("a quote that was not closed took other lines in")
        return line

    def forget(self) -> None:
        """End the current record."""
        self.taken.clear()
        self.size = 0

    def keep_first(self) -> int:
        """Take back all lines of the current record but the first; return how many lie between the first and the last."""
        self.waiting.extendleft(reversed(self.taken[1:]))
        between = max(0, len(self.taken) - 2)
        self.forget()
        return between


def _records(text: Iterable[str], separator: str, line: int) -> Iterator[Record]:
    """Yield the records of a CSV file, the header first. The text begins on that line.

    If a record cannot be read, only its first line is lost. A quote that was not closed may have taken in many lines.
    Those before the last of them are read one by one, so that each line is read three times at most.
    """
    csv.field_size_limit(_LONGEST_RECORD)
    lines, width = _Lines(text), 0
    while True:
        try:
            for values in csv.reader(lines, delimiter=separator, strict=True):
                width = width or len(values)
                if len(values) not in (0, width) and len(lines.taken) > 1:
                    raise csv.Error("a quote that was not closed took other lines in")
                yield from _record(line, values, width)
                line += len(lines.taken)
                lines.forget()
        except csv.Error:
            between = lines.keep_first()
            yield line, None
            line += 1
            for _ in range(between):
                yield from _single(line, next(lines), separator, width)
                line += 1
                lines.forget()
        else:
            return


def _record(line: int, values: list[str], width: int) -> Iterator[Record]:
    """Yield a record unless all its fields are blank, as in the rows that spreadsheets write below a table."""
    if any(map(str.strip, values)):
        yield line, values if len(values) == width else None


def _single(line: int, text: str, separator: str, width: int) -> Iterator[Record]:
    try:
        yield from _record(line, next(csv.reader([text], delimiter=separator, strict=True), []), width)
    except csv.Error:
        yield line, None
