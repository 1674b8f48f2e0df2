"""The colours of a report: the issuer's, if it is readable on white, a warning far from it, and one for each network."""

import colorsys
import re
from collections.abc import Iterator
from typing import NamedTuple

BLUE = "#1d4ed8"
LEAST_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3: text on its background
LEAST_HUES_APART = 50  # degrees between the issuer's colour and the warning
LEAST_SHADES_APART = 1.4  # their contrast, so that they differ in greyscale too

_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)
_WASHED = 0.08  # of the warning in the wash under it
Colour = tuple[int, int, int]

# Orange warns best. Whatever the issuer's hue is, one of these is far enough from it.
_ORANGE, _MAGENTA, _OCHRE = (209, 71, 10), (192, 38, 211), (147, 101, 0)

NETWORKS = {
    "x": "#191f2f",
    "qr": "#03353f",
    "facebook": "#27309b",
    "native": "#612bac",
    "email": "#a91e63",
    "linkedin": "#0a68c6",
    "telegram": "#0f8874",
    "embed": "#c464c4",
    "whatsapp": "#2cb158",
    "copy_link": "#f09d0d",
}
"""The colour of each network, the same in every report. Each is a quarter lighter than the one before, for greyscale."""
OTHERS = "#c6cdd9"


class Palette(NamedTuple):
    """The colours of a report as ``#rrggbb``: the issuer's with its tints, and the warning with its wash."""

    main: str
    soft: str
    track: str
    wash: str
    warning: str
    warning_wash: str


def palette(issuer_colour: str | None) -> Palette:
    """Return the palette of an issuer; that of ``BLUE`` if it has no colour, or one that is not ``#rrggbb``."""
    chosen = issuer_colour if re.fullmatch(r"#[0-9a-fA-F]{6}", issuer_colour or "") else None
    main = next(shade for shade in _shades(_parse(chosen or BLUE)) if _contrast(shade, _WHITE) >= LEAST_CONTRAST)
    warning = _warning(main)
    tints = (_tinted(main, 0.45), _tinted(main, 0.10), _tinted(main, 0.04), warning, _tinted(warning, _WASHED))
    return Palette(_text(main), *map(_text, tints))


def contrast(one: str, other: str) -> float:
    """Return the WCAG contrast of two colours, from 1 to 21."""
    return _contrast(_parse(one), _parse(other))


def _warning(main: Colour) -> Colour:
    """Return the lightest shade of the first warning hue far from the issuer's that also differs from it in greyscale."""
    base = next(one for one in (_ORANGE, _MAGENTA, _OCHRE) if _hues_apart(one, main) >= LEAST_HUES_APART)
    return next(
        shade
        for shade in _shades(base)
        if _contrast(shade, _tinted(shade, _WASHED)) >= LEAST_CONTRAST and _contrast(shade, main) >= LEAST_SHADES_APART
    )


def _shades(colour: Colour) -> Iterator[Colour]:
    """Yield the colour and its shades down to black, in steps of 2 %."""
    return (_mixed(colour, _BLACK, step / 50) for step in range(50, -1, -1))


def _contrast(one: Colour, other: Colour) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _hues_apart(one: Colour, other: Colour) -> float:
    """Return the degrees between two hues, from 0 to 180."""
    first, second = (360 * colorsys.rgb_to_hls(*(part / 255 for part in colour))[0] for colour in (one, other))
    return min(abs(first - second), 360 - abs(first - second))


def _tinted(colour: Colour, share: float) -> Colour:
    return _mixed(colour, _WHITE, share)


def _mixed(colour: Colour, ground: Colour, share: float) -> Colour:
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(colour, ground, strict=True))
    return red, green, blue


def _parse(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _text(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
