"""An issuer's logo: shown only if drawing it costs little. A few hundred bytes of SVG can ask for minutes and gigabytes."""

import re
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from xml.parsers import expat

from weasyprint import HTML  # type: ignore[import-untyped]
from weasyprint.urls import fetch  # type: ignore[import-untyped]

from etl.render.fetcher import data_only

MOST_PIXELS = 4_000_000
MOST_BYTES = 1 << 20  # of the decoded picture
MOST_DRAWN = 10_000  # elements, each as often as it is drawn; long paths and texts count for more
MOST_NESTED = 64
MOST_MATCHES = 200_000  # rules of a style sheet times elements
MOST_SECONDS = 3  # of the processor, to draw it once

_KINDS = ("data:image/png", "data:image/svg+xml")
_PNG = b"\x89PNG\r\n\x1a\n"
_INSIDE = re.compile(r"""url\(\s*["']?([^"')]*)""", re.IGNORECASE)
_INHERITED = ("fill", "stroke", "style")
_CHARACTERS_PER_DRAWN = 100  # of a path or a text


class TooCostly(Exception):
    """The logo is over a bound. The text says which."""


@dataclass(frozen=True)
class Logo:
    """The logo as it is shown, or None, and why one that the registry has is left out."""

    shown: str | None = None
    left_out: str | None = None


@lru_cache(maxsize=32)
def checked_logo(logo: str | None) -> Logo:
    """Return the logo of an issuer, or why it is left out: it is over a bound, or no PNG or SVG at all."""
    if not logo:
        return Logo()
    try:
        _check(logo)
    except TooCostly as error:
        return Logo(left_out=str(error))
    return Logo(shown=logo)


def _check(logo: str) -> None:
    kind, content = _read(logo)
    if content.startswith(_PNG):
        _check_png(content)
    elif kind == "image/svg+xml":
        _Drawing(content).check()
        _draw_once(logo)
    else:
        raise TooCostly("it is neither a PNG nor an SVG")


def _read(url: str) -> tuple[str, bytes]:
    if not url.startswith(_KINDS):
        raise TooCostly("it is neither a PNG nor an SVG")
    try:
        with fetch(data_only(), url) as answer:
            kind, content = str(answer.content_type), bytes(answer.read())
    except Exception:  # whatever is wrong with the URL, there is no picture  # noqa: BLE001
        raise TooCostly("its data URL cannot be read") from None
    if len(content) > MOST_BYTES:
        raise TooCostly(f"it has more than {MOST_BYTES:,} bytes")
    return kind, content


def _check_png(content: bytes) -> None:
    if content[12:16] != b"IHDR" or content.count(b"IHDR") != 1 or len(content) < 24:
        raise TooCostly("it is a damaged PNG")
    width, height = struct.unpack(">II", content[16:24])
    if not 0 < width * height <= MOST_PIXELS:
        raise TooCostly(f"it has more than {MOST_PIXELS:,} pixels")


@dataclass
class _Element:
    """An element of an SVG: what it has itself, then what drawing it takes with all that it contains and refers to."""

    name: str
    inside: list["_Element"] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)  # ids that it refers to once, as a use does
    inherited: list[str] = field(default_factory=list)  # ids that each element in it may refer to, as a fill does
    marked: list[str] = field(default_factory=list)  # ids that each point of each path in it may refer to
    characters: int = 0
    cost: tuple[int, int, int] | None = None  # elements drawn, characters drawn, levels
    is_open: bool = False


class _Drawing:
    """An SVG as far as its cost goes. Expat reads it: entities, and so their expansion, are refused."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._root = _Element("")
        self._open = [self._root]
        self._ids: dict[str, _Element] = {}
        self._count = self._rules = 0

    def check(self) -> None:
        """Raise TooCostly if it is over a bound, refers to anything outside, or does not parse."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.EntityDeclHandler = self._refuse_entity
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(self._content, True)  # noqa: FBT003
        except expat.ExpatError:
            raise TooCostly("it is no well-formed SVG") from None
        if self._rules * self._count > MOST_MATCHES:
            raise TooCostly("its style sheet has too many rules for its elements")
        self._cost(self._root, 0)

    def _refuse_entity(self, *_: object) -> None:
        raise TooCostly("it declares entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        element = _Element(name.rpartition(":")[2])
        self._count += 1
        self._open[-1].inside.append(element)
        self._open.append(element)
        if self._count > MOST_DRAWN or len(self._open) > MOST_NESTED:
            raise TooCostly(f"it has more than {MOST_DRAWN:,} elements, or more than {MOST_NESTED} within one another")
        if "id" in attributes:
            self._ids.setdefault(attributes["id"], element)
        for attribute, value in attributes.items():
            self._attribute(element, attribute.rpartition(":")[2], value)

    def _attribute(self, element: _Element, name: str, value: str) -> None:
        element.characters += len(value)
        if name in ("href", "src") and element.name != "a":
            if element.name in ("image", "feImage"):
                element.characters -= len(value)
                _check_embedded(value)
            else:
                element.applied.append(_id_in(value.strip()))
        found = [_id_in(inside) for inside in _INSIDE.findall(value)]
        is_mark = name.startswith("marker") or (name == "style" and "marker" in value)
        (element.marked if is_mark else element.inherited if name in _INHERITED else element.applied).extend(found)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        element = self._open[-1]
        if element.name == "style":
            self._rules += text.count("{") + text.count(",")
            if "@import" in text.lower():
                raise TooCostly("it refers to something outside of it")
            for inside in _INSIDE.findall(text):
                _id_in(inside)
        else:
            element.characters += len(text.strip())

    def _cost(self, element: _Element, level: int) -> tuple[int, int, int]:
        """Return what drawing an element takes: how many elements, characters and levels, with each use expanded."""
        if element.cost is None:
            if element.is_open:
                raise TooCostly("it refers to itself")
            element.is_open = True
            drawn, characters, levels = 1 + element.characters // _CHARACTERS_PER_DRAWN, element.characters, 0
            for other in [*element.inside, *self._named(element.applied)]:
                cost = self._cost(other, level + 1)
                drawn, characters, levels = drawn + cost[0], characters + cost[1], max(levels, cost[2])
            per_element, per_point = drawn, characters // 2
            for ids, times in ((element.inherited, per_element), (element.marked, per_point)):
                for other in self._named(ids):
                    cost = self._cost(other, level + 1)
                    drawn, characters = drawn + cost[0] * times, characters + cost[1] * times
                    levels = max(levels, cost[2])
            element.is_open, element.cost = False, (drawn, characters, levels + 1)
        if element.cost[0] > MOST_DRAWN or level + element.cost[2] > MOST_NESTED:
            raise TooCostly(f"drawing it takes more than {MOST_DRAWN:,} elements, or more than {MOST_NESTED} levels")
        return element.cost

    def _named(self, ids: list[str]) -> Iterator[_Element]:
        return (self._ids[name] for name in ids if name in self._ids)


def _id_in(reference: str) -> str:
    """Return the id that a reference names; raise TooCostly if it names anything outside."""
    if not reference.startswith("#"):
        raise TooCostly("it refers to something outside of it")
    return reference[1:]


def _check_embedded(url: str) -> None:
    _, content = _read(url.strip())
    if not content.startswith(_PNG):
        raise TooCostly("it embeds a picture that is no PNG")
    _check_png(content)


def _draw_once(logo: str) -> None:
    """Draw an SVG by itself; raise TooCostly where that takes too long, or cannot be done."""
    try:
        with _at_most(MOST_SECONDS):
            HTML(string=f'<img src="{escape(logo)}" style="width: 16rem">', url_fetcher=data_only()).write_pdf()
    except TooCostly:
        raise
    except Exception:  # whatever the library makes of it, a report must not fail for a logo  # noqa: BLE001
        raise TooCostly("it cannot be drawn") from None


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise TooCostly where the block takes more time of the processor. Only a main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_over = False

    def interrupt(*_: object) -> None:
        nonlocal is_over
        is_over = True  # the library may catch what is raised here
        raise TooCostly(f"drawing it takes more than {seconds} seconds")

    former = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)
    if is_over:
        raise TooCostly(f"drawing it takes more than {seconds} seconds")
