"""The colours of a report: the issuer's colour if it is readable on white, else a darker shade of it."""

import re
from typing import NamedTuple

BLUE = "#1d4ed8"
INK = "#14213d"
LEAST_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3: text on its background

_WHITE = (255, 255, 255)
Colour = tuple[int, int, int]


class Palette(NamedTuple):
    """The colours of a report as ``#rrggbb``. Those of the ring chart differ from one another in greyscale too."""

    main: str
    soft: str
    track: str
    wash: str
    ring: tuple[str, ...]


def palette(issuer_colour: str | None) -> Palette:
    """Return the palette of an issuer; that of ``BLUE`` if it has no colour, or one that is not ``#rrggbb``."""
    chosen = issuer_colour if re.fullmatch(r"#[0-9a-fA-F]{6}", issuer_colour or "") else None
    main = _readable(_parse(chosen or BLUE))
    ring = (main, _tinted(main, 0.55), _parse(INK), _tinted(main, 0.28), (100, 112, 138), (214, 219, 229))
    return Palette(
        _text(main),
        _text(_tinted(main, 0.45)),
        _text(_tinted(main, 0.10)),
        _text(_tinted(main, 0.04)),
        tuple(_text(colour) for colour in ring),
    )


def contrast_with_white(colour: str) -> float:
    """Return the WCAG contrast of ``#rrggbb`` with white, from 1 to 21."""
    return _contrast(_parse(colour))


def _readable(colour: Colour) -> Colour:
    """Return the colour itself, or else its lightest shade (in steps of 2 %) with enough contrast."""
    shades = (_mixed(colour, (0, 0, 0), step / 50) for step in range(50, 0, -1))
    return next(shade for shade in shades if _contrast(shade) >= LEAST_CONTRAST)


def _contrast(colour: Colour) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)
    ]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def _tinted(colour: Colour, share: float) -> Colour:
    return _mixed(colour, _WHITE, share)


def _mixed(colour: Colour, ground: Colour, share: float) -> Colour:
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(colour, ground, strict=True))
    return red, green, blue


def _parse(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _text(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
