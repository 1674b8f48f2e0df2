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
from etl.figures import CertificateFigures, Counts, Figures, Parts, Recipient
from etl.render.colours import palette
from etl.render.formatter import Formatter, formatter, without_controls
from etl.render.logo import judged

TEMPLATES = resources.folder("report_templates")
MOST_ROWS = 40  # bounced recipients of one certificate; the CSV has them all
MOST_NAMED = 2  # recipients of each reminder
_REMINDERS = ("remind_to_open", "remind_to_claim", "remind_to_share")
MOST_TODOS = 3  # on the first page; the others are named in a line
FEWEST_FOR_RATES = 5  # recipients: a rate over fewer says nothing, so the report prints only counts

Row = dict[str, Any]

_LEAST_DIFFERENCE = 0.005  # half a point: a second rate that differs by less says nothing
_FONTS = {400: "Inter-Regular.woff2", 600: "Inter-SemiBold.woff2"}


def html(figures: Figures) -> str:
    """Return the report of one figures document as HTML, in the subscription's locale and the period's time zone."""
    formats = formatter(figures["subscription"]["locale"], figures["period"]["timezone"])
    template = environment(formats, is_html=True).get_template("statistics.html.j2")
    return template.render(**context(figures, formats), fonts=font_faces(), style=style())


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
        "totals": figures["totals"] | {"has_rates": _has_rates(figures["totals"]), "known": _known(figures["totals"])},
        "first_todos": figures["todos"][:MOST_TODOS],
        "other_todos": figures["todos"][MOST_TODOS:],
        "palette": colours,
        "language": formats.language,
        "logo": judged(figures["issuer"]["logo"]).shown,
    }


def _page(certificate: CertificateFigures, rows: list[Recipient], ring_colours: tuple[str, ...]) -> Row:
    """Return a certificate with the rows that its page shows: at most ``MOST_ROWS`` bounced, and the head of each reminder.

    The new ones come first.
    """
    bounced = sorted((row for row in rows if row["is_bounced"]), key=lambda row: "bounced" not in row["new"].split())
    shares = sorted(certificate["shares"].items(), key=lambda share: (-share[1], share[0]))
    segments = _segments(shares, ring_colours)
    has_rates, reasons = _has_rates(certificate), certificate["machine_reasons"]
    return certificate | {
        "has_rates": has_rates,
        "known": _known(certificate),
        "shares": segments,
        "ring": _ring(segments) if segments and has_rates else None,
        "machine_rules": {"opened": _rules(reasons["opened"]), "clicked": _rules(reasons["clicked"])},
        "bounced_rows": bounced[:MOST_ROWS],
        "reminders": [
            _reminder(todo, rows, certificate["new_todos"].get(todo, 0))
            for todo in _REMINDERS
            if todo in certificate["todos"]
        ],
    }


def _reminder(todo: str, rows: list[Recipient], new_count: int) -> Row:
    """Return a reminder with the recipients that it names, the new ones first; the list has the others."""
    chosen = [row for row in rows if row["todo"] == todo]
    named = sorted(chosen, key=lambda row: not row["is_new_todo"])[:MOST_NAMED]
    return {"todo": todo, "recipients_count": len(chosen), "new_count": new_count, "rows": named}


def _has_rates(counts: Counts) -> bool:
    """Tell whether rates are shown: not for a few recipients. Without any recipient, each rate is a dash."""
    return not 0 < counts["recipients_count"] < FEWEST_FOR_RATES


def _known(parts: Parts) -> dict[str, float]:
    """Return the rates among those whose mail the logs can know, where they differ by over half a point."""
    rates = {
        "claimed": (parts["claimed_rate"], parts["known_claimed_rate"]),
        "shared_or_downloaded": (parts["shared_or_downloaded_rate"], parts["known_shared_or_downloaded_rate"]),
        "added_to_linkedin": (parts["added_to_linkedin_rate"], parts["known_added_to_linkedin_rate"]),
        "opened": (parts["opened_rate"], parts["known_opened_rate"]),
        "clicked": (parts["clicked_rate"], parts["known_clicked_rate"]),
    }
    return {
        name: known
        for name, (rate, known) in rates.items()
        if rate is not None and known is not None and abs(known - rate) > _LEAST_DIFFERENCE
    }


def _segments(shares: list[tuple[str, int]], colours: tuple[str, ...]) -> list[Row]:
    """Return the segments of the ring chart, largest first. Segments beyond the last colour all have that colour."""
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


def _ring(segments: list[Row]) -> str:
    """Return the ring chart of shares as the data URL of an SVG. The page itself has the labels, beside the chart."""
    chart = json.loads((TEMPLATES / "charts" / "ring.vl.json").read_text())
    chart["data"]["values"] = [
        {"position": i, "count": one["count"], "colour": one["colour"]} for i, one in enumerate(segments)
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
    for name in (
        "number",
        "percent",
        "day",
        "days",
        "month",
        "local_day",
        "moment",
        "signed",
        "signed_percent",
        "points",
    ):
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
def style() -> str:
    """Return the CSS of a report's page."""
    return (TEMPLATES / "report.css").read_text()
