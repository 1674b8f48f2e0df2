"""Split a text into its JSON documents, in any layout, and put each on the line where it began."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

LONGEST_LINE = 8 << 20
"""The most characters of a line that DuckDB gets. UTF-8 takes up to four bytes for each, hence max_line_size in lines.sql."""

_LONGEST_DOCUMENT = 16 << 20
_LONGEST_ARRAY = 1 << 20
_DECODER = json.JSONDecoder()
_NEXT_DOCUMENT = re.compile(r"\n(?:[ \t]*(?=[{\[])|(?=[A-Za-z#<]))")
_NEXT_LINE = re.compile(r"\n")
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass
class LineWriter:
    """A writer that puts documents on the lines where they began.

    Documents that began on one line become an array. Text that does not parse always gets a separate line.
    """

    target: TextIO
    line: int = 1
    is_begun: bool = False
    held: list[str] = field(default_factory=list)
    size: int = 0

    def write(self, line: int, document: str, *, is_whole: bool) -> None:
        """Write a document that began on this line; ``is_whole`` is False for text that does not parse."""
        if line > self.line or self.size + len(document) > _LONGEST_ARRAY or not is_whole:
            self.flush()
        if not self.held:
            step = max(line - self.line, int(self.is_begun))
            self.target.write("\n" * step)
            self.line += step
        self.held.append(document if len(document) <= LONGEST_LINE else _cut(document))
        self.size += len(document)
        if not is_whole:
            self.flush()

    def flush(self) -> None:
        """Write the documents that are held for the current line."""
        if self.held:
            self.target.write(self.held[0] if len(self.held) == 1 else f"[{','.join(self.held)}]")
            self.is_begun = True
        self.held.clear()
        self.size = 0


@dataclass
class Splitter:
    """A splitter that finds JSON documents one after another, and the elements of top-level arrays, in any layout.

    Text that does not parse is written unchanged, and SQL rejects it. It ends with its line if the error is on that line.
    If the error is on a later line, it ends before the next line that begins with a brace, a bracket, a letter, ``#`` or
    ``<``, because few lines inside a document begin like that.
    """

    texts: Iterator[str]
    writer: LineWriter
    buffer: str = ""
    position: int = 0
    line: int = 1
    is_exhausted: bool = False

    def documents(self) -> Iterator[None]:
        """Yield once for each top-level document, after writing it."""
        while (character := self._next()) is not None:
            if character == "[":
                self._array()
            elif character == "{":
                self._value()
            else:
                self._write(self._unparsed_end(_NEXT_LINE), is_whole=False)
            yield

    def _array(self) -> None:
        start, is_whole = self.line, True
        self._advance(self.position + 1)
        while (character := self._next()) not in ("]", None):
            if character == ",":
                self._advance(self.position + 1)
            else:
                is_whole = self._value() and is_whole
        if character == "]":
            self._advance(self.position + 1)
        elif is_whole:
            self.writer.write(start, "[", is_whole=False)

    def _value(self) -> bool:
        """Write the value at the position and return True, or write text that does not parse and return False."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self.buffer, self.position)
            except (ValueError, RecursionError) as error:
                if self._may_be_cut(error) and self._read():
                    continue
                is_spread = isinstance(error, json.JSONDecodeError) and "\n" in self.buffer[self.position : error.pos]
                self._write(self._unparsed_end(_NEXT_DOCUMENT if is_spread else _NEXT_LINE), is_whole=False)
                return False
            if end == len(self.buffer) and self._read():
                continue
            self._write(end, is_whole=True)
            return True

    def _write(self, end: int, *, is_whole: bool) -> None:
        self.writer.write(self.line, self.buffer[self.position : end].replace("\n", " ").strip(), is_whole=is_whole)
        self._advance(end)

    def _may_be_cut(self, error: Exception) -> bool:
        """Tell whether the value may continue in text that is not yet read."""
        if not isinstance(error, json.JSONDecodeError) or len(self.buffer) - self.position > _LONGEST_DOCUMENT:
            return False
        is_open_string = error.msg.startswith("Unterminated string") and "\n" not in self.buffer[error.pos :]
        return is_open_string or error.pos > len(self.buffer) - 64

    def _unparsed_end(self, end: re.Pattern[str]) -> int:
        """Return the position where text that does not parse ends."""
        while not (found := end.search(self.buffer, self.position)):
            if len(self.buffer) - self.position > _LONGEST_DOCUMENT or not self._read():
                return len(self.buffer)
        return found.end()

    def _next(self) -> str | None:
        """Skip white space, and return the character at the new position, or None at the end of the text."""
        while True:
            space = _SPACE.match(self.buffer, self.position)
            self._advance(space.end() if space else self.position)
            if self.position < len(self.buffer):
                return self.buffer[self.position]
            if not self._read():
                return None

    def _read(self) -> bool:
        """Read more text, and drop the text before the position. Return False at the end of the text."""
        if self.is_exhausted:
            return False
        text = next(self.texts, None)
        self.is_exhausted = text is None
        self.buffer, self.position = self.buffer[self.position :] + (text or ""), 0
        return text is not None

    def _advance(self, end: int) -> None:
        self.line += self.buffer.count("\n", self.position, end)
        self.position = end


def _cut(document: str) -> str:
    return document.encode()[: 4 * LONGEST_LINE].decode(errors="ignore")
