"""The typefaces of the PDF: Inter, and a face of Noto for each other script that a page has.

They come with the project as subsets, so a PDF looks the same on every host, and needs no font of the system. The Chinese
one has the characters of GB 2312, Big5 level 1 and JIS X 0208 level 1, the Korean one the syllables of KS X 1001.
"""

import re
import unicodedata
from base64 import b64encode
from functools import cache

from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

from etl import resources

FONTS = resources.folder("report_templates") / "fonts"

_INTER = {400: "Inter-Regular.woff2", 600: "Inter-SemiBold.woff2"}
_NOTO = {
    "Arabic": "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc",
    "Armenian": "\u0530-\u058f",
    "Bengali": "\u0980-\u09ff",
    "Devanagari": "\u0900-\u097f",
    "Ethiopic": "\u1200-\u139f",
    "Georgian": "\u10a0-\u10ff",
    "Gujarati": "\u0a80-\u0aff",
    "Gurmukhi": "\u0a00-\u0a7f",
    "Hebrew": "\u0590-\u05ff",
    "Kannada": "\u0c80-\u0cff",
    "Khmer": "\u1780-\u17ff",
    "KR": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "Lao": "\u0e80-\u0eff",
    "Malayalam": "\u0d00-\u0d7f",
    "Myanmar": "\u1000-\u109f",
    "SC": "\u3000-\u312f\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef",
    "Sinhala": "\u0d80-\u0dff",
    "Tamil": "\u0b80-\u0bff",
    "Telugu": "\u0c00-\u0c7f",
    "Thai": "\u0e00-\u0e7f",
}
"""The names of the faces, and the characters that call for each."""

_SCRIPTS = {name: re.compile(f"[{characters}]") for name, characters in _NOTO.items()}
_BEYOND_LATIN = re.compile("[^\x00-\u024f]")
_UNSEEN = {"Cc", "Cf", "Zs", "Zl", "Zp", "Mn"}


@cache
def inter() -> str:
    """Return the project's typeface as CSS that contains the font files."""
    return "".join(_face("Inter", weight, file) for weight, file in _INTER.items())


def scripts_of(text: str) -> tuple[str, ...]:
    """Return the names of the faces of Noto that a text needs beside Inter, such as ``Arabic``."""
    return (
        tuple(name for name, pattern in _SCRIPTS.items() if pattern.search(text)) if _BEYOND_LATIN.search(text) else ()
    )


@cache
def noto(script: str) -> str:
    """Return a face of Noto as CSS that contains the font file, and its bold one where there is one."""
    bold = FONTS / f"NotoSans{script}-Bold.woff2"
    family = f"Noto Sans {script}"
    return _face(family, 400, f"NotoSans{script}-Regular.woff2") + (
        _face(family, 600, bold.name) if bold.exists() else ""
    )


def undrawn(text: str) -> list[str]:
    """Return the characters of a text that none of the faces can draw, such as emoji; a PDF has boxes for them."""
    seen = {one for one in set(_BEYOND_LATIN.findall(text)) if unicodedata.category(one) not in _UNSEEN}
    drawn = _characters(_INTER[400])
    for script in scripts_of("".join(seen)):
        drawn |= _characters(f"NotoSans{script}-Regular.woff2")
    return sorted(seen - drawn)


@cache
def _characters(file: str) -> frozenset[str]:
    with TTFont(FONTS / file, lazy=True) as font:
        return frozenset(map(chr, font.getBestCmap()))


def _face(family: str, weight: int, file: str) -> str:
    content = b64encode((FONTS / file).read_bytes()).decode()
    return f"@font-face{{font-family:{family!r};font-weight:{weight};src:url(data:font/woff2;base64,{content}) format('woff2')}}"
