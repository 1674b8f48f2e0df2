"""Find the JSON documents of a text, in any layout and beside any damage, each with the line where it began.

A document is an object that parses, or an element of an array. What is between documents is junk, unless it is white
space, a comment line, or the brackets and commas of arrays.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

LONGEST_LINE = 8 << 20
"""The most characters of a line that DuckDB gets. UTF-8 takes up to four bytes for each, hence max_line_size in lines.sql."""

_DECODER = json.JSONDecoder(parse_int=str)  # int() refuses numbers of over 4300 digits
_DEEPEST = 200  # levels of brackets that Python's parser surely reads before it gives up
_BLANK = " \t\r\n\ufeff"  # the byte-order mark of a file that was joined to another is no junk
_FAR = 1 << 16  # the text before the position that is kept at most
_NEAR = 1 << 12  # likewise within junk, where errors are many: a JSONDecodeError counts the lines in that text

_SPACE = re.compile(rf"[{_BLANK}]*+")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[{}\[\]]', re.DOTALL)
_TRAILING_COMMA = re.compile(r",(?=[ \t\r\n]*+[}\]])")
_BRACKETS = re.compile(r"\[[ \t\[]*+")
_ELEMENT = re.compile(
    r'[ \t\r\n]*+(?:[{\]]|(?:"(?:[^"\\\n]++|\\.)*+"|-?\d[\d.eE+-]*+|true|false|null)[ \t\r\n]*+[,\]])'
)
_OBJECT = re.compile(r"[ \t]*+\n?[ \t]*+\{")
_END_OF_JUNK = re.compile(r"[\n{\[]")
_END_OF_SPREAD_JUNK = re.compile(r"\n(?:[ \t]*+[{\[]|[A-Za-z#<])")
_OPENING = {"]": "[", "}": "{"}


@dataclass
class PieceWriter:
    """A writer that puts each document, and each stretch of junk, on a line of its own.

    ``shifts`` gets a line where the raw file's numbers of lines begin to differ otherwise from the copy's: the number in the
    copy, and the difference.
    """

    target: TextIO
    shifts: TextIO
    line: int = 0
    shift: int = 0

    def write(self, raw_line: int, piece: str) -> None:
        """Write a piece that began on this line of the raw file."""
        self.line += 1
        if raw_line != self.line + self.shift:
            self.shift = raw_line - self.line
            self.shifts.write(f"{self.line},{self.shift}\n")
        self.target.write(f"{piece[:LONGEST_LINE]}\n")


@dataclass
class Junk:
    """A stretch of text that is no document, or a comment line. Of a long one only the beginning is kept."""

    line: int = 0
    parts: list[str] = field(default_factory=list)
    size: int = 0
    is_comment: bool = False
    is_spread: bool = False

    def add(self, line: int, text: str) -> None:
        """Add text that begins on this line."""
        self.line = self.line or line
        if self.size <= LONGEST_LINE:
            self.parts.append(text)
            self.size += len(text)

    def text(self) -> str:
        """Return the text as one line. A mark before # shows SQL that junk within a line is no comment."""
        text = "".join(self.parts).replace("\n", " ").strip(_BLANK)
        return f"\ufeff{text}" if text.startswith("#") and not self.is_comment else text


@dataclass
class Splitter:
    """A splitter that writes the documents of a text, and the junk between them.

    Junk ends at the next document, else with its line. Where it begins with an object whose error is on a later line, it
    ends before the next line that begins with a brace, a bracket, a letter, ``#`` or ``<``, because few lines inside a
    document begin like that. The whole objects in an object that does not parse are documents, too. The time grows with the
    length of the text and not with its square: what was found not to parse is not parsed again.
    """

    texts: Iterator[str]
    writer: PieceWriter
    has_hex_escapes: bool = False
    buffer: str = ""
    tolerant: str = ""
    position: int = 0
    line: int = 1
    is_line_begun: bool = False
    junk: Junk = field(default_factory=Junk)
    brackets: list[str] = field(default_factory=list)
    array_line: int = 0
    document_count: int = 0
    reject_count: int = 0
    rejects_before_array: int = 0

    def split(self) -> bool:
        """Write the whole text, and return whether it is one document or one line."""
        while self.position < len(self.buffer) or self._read():
            if self.junk.parts:
                self._continue_junk()
            else:
                self._begin()
        self._end_junk()
        if self.brackets and self.reject_count == self.rejects_before_array:
            self.reject_count += 1
            self.writer.write(self.array_line, "[")
        return self.line == 1 or (self.document_count == 1 and not self.reject_count)

    def _begin(self) -> None:
        """Take white space, then a document, a bracket, a comma of an array, or the first character of junk."""
        self._skip_space()
        character = self.buffer[self.position : self.position + 1]
        if character == "{":
            self._object()
        elif character == "[":
            self._array(_ELEMENT)
        elif self.brackets and character == ",":
            self._advance(self.position + 1)
        elif self.brackets and _OPENING.get(character) == self.brackets[-1]:
            self._advance(self.position + 1)
            self.brackets.pop()
            self.document_count += not self.brackets
        elif character and not self._scalar():
            self.junk.is_comment = character == "#" and not self.is_line_begun
            self._take(self.position + 1)

    def _continue_junk(self) -> None:
        """Take junk up to where it may end."""
        found = _END_OF_JUNK.search(self.buffer, self.position)
        end = self.buffer.find("\n", self.position) if self.junk.is_comment else found.start() if found else -1
        self._take(end if end >= 0 else len(self.buffer))
        character = self.buffer[self.position : self.position + 1]
        if character == "{":
            self._object()
        elif character == "[":
            self._array(_OBJECT)
        elif character == "\n" and self._is_spread_further():
            self._take(self.position + 1)
        elif character == "\n":
            self._end_junk()

    def _is_spread_further(self) -> bool:
        if not self.junk.is_spread:
            return False
        if self.position + 1 == len(self.buffer):
            self._read()
        return not _END_OF_SPREAD_JUNK.match(self.buffer, self.position)

    def _object(self) -> None:
        """Write the object at the position, or the documents in it if it does not parse; the rest of it is junk."""
        end, is_whole = self._parsed()
        if is_whole:
            self._end_junk()
            self._write(end)
            return
        resumed = _resumed(self.tolerant, self.position, end)
        documents, opened = _documents(self.tolerant, self.position, end)
        self.junk.is_spread |= self.buffer.find("\n", self.position, end) >= 0
        passed = self.position  # taking text moves the buffer
        for first, after in documents:
            self._take(self.position + first - passed)
            self.junk.add(self.line, "\u2026")
            self._write(self.position + after - first)
            passed = after
        self._take(self.position + resumed - passed)
        self._open(opened)

    def _array(self, content: re.Pattern[str]) -> None:
        """Take the brackets at the position: as those of arrays before this content, else as junk."""
        end = self._end_of_brackets()
        if not content.match(self.buffer, end):
            self._take(end)
            return
        self._end_junk()
        if not self.brackets:
            self.array_line, self.rejects_before_array = self.line, self.reject_count
        self._open(["["] * self.buffer.count("[", self.position, end))
        self._advance(end)

    def _open(self, brackets: list[str]) -> None:
        """Note brackets that wait for their end. Of endless ones only the first: the ends of the others are junk."""
        self.brackets += brackets[: _DEEPEST - len(self.brackets)]

    def _end_of_brackets(self) -> int:
        while True:
            end = _end(_BRACKETS, self.buffer, self.position)
            if _end(_SPACE, self.buffer, end) < len(self.buffer) or not self._read():
                return end

    def _scalar(self) -> bool:
        """Write the element at the position and return True if there is one. It is no object and no array."""
        if self.brackets[-1:] != ["["]:
            return False
        end, is_whole = self._parsed()
        if is_whole:
            self._write(end)
        return is_whole

    def _parsed(self) -> tuple[int, bool]:
        """Return the end of the value at the position and True, or the position of its error and False."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self.tolerant, self.position)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated string") or error.pos > len(self.buffer) - 64
                if not is_cut or not self._read():
                    return max(error.pos, self.position + 1), False
            except RecursionError:
                return _too_deep(self.tolerant, self.position), False
            else:
                if end < len(self.buffer) or self.buffer.endswith("}") or not self._read():
                    return end, True

    def _write(self, end: int) -> None:
        self.writer.write(self.line, self.buffer[self.position : end].replace("\n", " "))
        self.document_count += not self.brackets
        self._advance(end)
        self.is_line_begun = True

    def _take(self, end: int) -> None:
        self.junk.add(self.line, self.buffer[self.position : end])
        self._advance(end)
        self.is_line_begun = True

    def _end_junk(self) -> None:
        if text := self.junk.text():
            self.writer.write(self.junk.line, text)
            self.reject_count += not self.junk.is_comment
        if self.junk.parts:
            self.junk = Junk()

    def _skip_space(self) -> None:
        end = _end(_SPACE, self.buffer, self.position)
        self.is_line_begun = self.is_line_begun and self.buffer.find("\n", self.position, end) < 0
        self._advance(end)

    def _advance(self, end: int) -> None:
        self.line += self.buffer.count("\n", self.position, end)
        self.position = end
        if end > (_NEAR if self.junk.parts else _FAR):
            self.buffer, self.tolerant, self.position = self.buffer[end:], self.tolerant[end:], 0

    def _read(self) -> bool:
        """Read as much text as is left after the position, at least, and drop the text before it.

        Return False at the end of the text, and where more is left than DuckDB gets.
        """
        left = len(self.buffer) - self.position
        texts, size = [self.buffer[self.position :]], 0
        while left <= LONGEST_LINE and size <= left and (text := next(self.texts, None)) is not None:
            texts.append(text)
            size += len(text)
        if size:
            self.buffer, self.position = "".join(texts), 0
            self.tolerant = _tolerant(self.buffer, has_hex_escapes=self.has_hex_escapes)
        return size > 0


def _tolerant(text: str, *, has_hex_escapes: bool) -> str:
    """Return a text of the same length without what Python's parser refuses, but the SQL reads."""
    text = text.replace("\\x", "\\/") if has_hex_escapes else text
    return _TRAILING_COMMA.sub(" ", text)


def _documents(text: str, start: int, end: int) -> tuple[list[tuple[int, int]], list[str]]:
    """Return what is whole in an object that is sound up to its end but does not end there.

    That is: the begin and end of the outermost whole objects, and the brackets that lead to the innermost array with such
    elements that is still open. Its next elements may be whole, too.
    """
    opened: list[int] = []
    found: list[tuple[int, int]] = []
    pages: list[int] = []
    for token in _TOKEN.finditer(text, start, end):
        place, character = token.start(), text[token.start()]
        if character in "{[":
            opened.append(place)
        elif character in "}]":
            first = opened.pop()
            if pages[-1:] == [first]:
                pages.pop()
            if character == "}":
                while found and found[-1][0] > first:
                    found.pop()
                found.append((first, place + 1))
                if text[opened[-1]] == "[" and pages[-1:] != opened[-1:]:
                    pages.append(opened[-1])
    return found, [text[place] for place in opened if pages and place <= pages[-1]]


def _resumed(text: str, start: int, end: int) -> int:
    """Return where a document may begin after the error of an object.

    That is the error's position, or the white space before it. But an object that was cut in a string has the begin of the
    next one, ``{"``, in it.
    """
    quote = text.rfind('"', start, end)
    brace = text.rfind("{", start + 1, quote)
    is_cut = 0 <= brace and not text[brace + 1 : quote].strip() and not text[quote + 1 : end].strip()
    return brace if is_cut else start + len(text[start:end].rstrip())


def _too_deep(text: str, start: int) -> int:
    """Return the position where the brackets of an object become too many."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(text[token.start()], 0)
        if depth > _DEEPEST:
            return token.start()
    return start + 1


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start
