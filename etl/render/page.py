"""report.html: one page that contains its fonts, charts and logo, so it needs no network."""

import base64
import json
from collections import defaultdict
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from etl import resources
from etl.figures import CertificateFigures, Counts, Figures, Recipient
from etl.render.colours import palette
from etl.render.formatter import Formatter, formatter, without_controls
from etl.render.logo import judged

TEMPLATES = resources.folder("report_templates")
MOST_ROWS = 40  # of one certificate; a thousand rows take WeasyPrint five seconds, and the CSV has them all
FEWEST_FOR_RATES = 5  # recipients: a rate over fewer says nothing, so the report prints only counts

Row = dict[str, Any]

_TO_REMIND = ("opened", "clicked")  # the status of recipients who may still claim
_FONTS = {400: "Inter-Regular.woff2", 600: "Inter-SemiBold.woff2"}


def html(figures: Figures) -> str:
    """Return the report of one figures document as HTML, in the subscription's locale and the period's time zone."""
    formats = formatter(figures["subscription"]["locale"], figures["period"]["timezone"])
    template = environment(formats, is_html=True).get_template("statistics.html.j2")
    return template.render(**context(figures, formats), fonts=font_faces(), style=_style())


def context(figures: Figures, formats: Formatter) -> dict[str, Any]:
    """Return the variables of a report's templates: the figures, and the rows, colours and language made from them."""
    colours = palette(figures["issuer"]["color"])
    rows = defaultdict(list)
    for recipient in figures["recipients"]:
        rows[recipient["certificate_id"]].append(recipient)
    certificates = [
        _page(one, rows[one["certificate_id"]], colours.ring) | {"anchor": f"certificate-{number}"}
        for number, one in enumerate(figures["certificates"], start=1)
    ]
    return figures | {
        "certificates": certificates,
        "totals": figures["totals"] | {"has_rates": _has_rates(figures["totals"])},
        "worst": max(certificates, key=lambda one: one["bounced_count"], default=None),
        "to_remind": sum(row["status"] in _TO_REMIND for row in figures["recipients"]),
        "palette": colours,
        "language": formats.language,
        "logo": judged(figures["issuer"]["logo"]).shown,
    }


def _page(certificate: CertificateFigures, rows: list[Recipient], ring_colours: tuple[str, ...]) -> Row:
    """Return a certificate with the rows that its page shows: bounced recipients first, at most ``MOST_ROWS`` in all."""
    bounced = [row for row in rows if row["is_bounced"]]
    others = [row for row in rows if not row["is_bounced"]]
    shares = sorted(certificate["shares"].items(), key=lambda share: (-share[1], share[0]))
    slices = _slices(shares, ring_colours)
    has_rates, reasons = _has_rates(certificate), certificate["machine_reasons"]
    return certificate | {
        "has_rates": has_rates,
        "shares": slices,
        "ring": _ring(slices) if slices and has_rates else None,
        "machine_rules": {"opened": _rules(reasons["opened"]), "clicked": _rules(reasons["clicked"])},
        "bounced_rows": bounced[:MOST_ROWS],
        "other_rows": others[: max(0, MOST_ROWS - len(bounced))],
        "other_count": len(others),
    }


def _has_rates(counts: Counts) -> bool:
    """Tell whether rates are shown: not for a few recipients. Without any recipient, each rate is a dash."""
    return not 0 < counts["recipients_count"] < FEWEST_FOR_RATES


def _slices(shares: list[tuple[str, int]], colours: tuple[str, ...]) -> list[Row]:
    """Return the slices of the ring chart, largest first. Slices beyond the last colour all have that colour."""
    total = sum(count for _, count in shares)
    painted = colours + colours[-1:] * len(shares)
    return [
        {"channel": channel, "count": count, "part": Decimal(count) / total, "colour": colour}
        for (channel, count), colour in zip(shares, painted, strict=False)
    ]


def _rules(counts: dict[str, int]) -> list[Row]:
    """Return the rules that recognised a machine, most frequent first. They add up to the machine-only count."""
    ranked = sorted(counts.items(), key=lambda rule: (-rule[1], rule[0]))
    return [{"name": name, "count": count} for name, count in ranked]


def _ring(slices: list[Row]) -> str:
    """Return the ring chart of shares as the data URL of an SVG. The page itself has the labels, beside the chart."""
    chart = json.loads((TEMPLATES / "charts" / "ring.vl.json").read_text())
    chart["data"]["values"] = [
        {"position": i, "count": one["count"], "colour": one["colour"]} for i, one in enumerate(slices)
    ]
    svg = vl_convert.vegalite_to_svg(chart, allowed_base_urls=[])
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


@lru_cache(maxsize=32)
def environment(formats: Formatter, *, is_html: bool) -> Environment:
    """Return the template environment of one formatter.

    In HTML every value is escaped. Text has no markup, but a name must not start a new line.
    """
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=is_html,
        finalize=None if is_html else _single_line,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "percent", "day", "days", "month", "local_day", "moment"):
        made.filters[name] = getattr(formats, name)
    made.filters["width"] = _width
    return made


def _single_line(value: Any) -> Any:
    return without_controls(value) if isinstance(value, str) else value


def _width(rate: float | Decimal | None) -> str:
    """Return a rate as the CSS width of a bar, from 0 to 100 %."""
    return f"{min(max(float(rate or 0), 0), 1):.2%}"


@cache
def font_faces() -> str:
    """Return the project's typeface as CSS that contains the font files."""
    return "".join(
        f"@font-face{{font-family:Inter;font-weight:{weight};src:url(data:font/woff2;base64,"
        f"{base64.b64encode((TEMPLATES / 'fonts' / file).read_bytes()).decode()}) format('woff2')}}"
        for weight, file in _FONTS.items()
    )


@cache
def _style() -> str:
    return (TEMPLATES / "report.css").read_text()
