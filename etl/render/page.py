"""report.html: one page that contains its fonts, charts and logo, so it needs no network."""

import base64
import json
from collections import defaultdict
from decimal import Decimal
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from etl import resources
from etl.figures import CertificateFigures, Counts, Domain, Figures, Parts, Recipient, Trend
from etl.render import faces
from etl.render.colours import NETWORKS, OTHERS, palette
from etl.render.formatter import Formatter, formatter, prints_on_letter, without_controls
from etl.render.languages import translations
from etl.render.logo import checked_logo

TEMPLATES = resources.folder("report_templates")
MOST_ROWS = 36  # bounced recipients of one certificate: as many as a page holds; the CSV has them all
MOST_BESIDE = 12  # bounced recipients on the certificate's first page; more begin a page of their own
MOST_PAGED = 20  # certificates of which each has its page; of more, only those with a change in the period
MOST_NAMED = 2  # recipients of each reminder
_REMINDERS = ("remind_to_open", "remind_to_claim", "remind_to_share")
MOST_TODOS = 3  # on the first page; the others are named in a line
MOST_BOUNCED = 0.05  # of the sent: above it Amazon SES puts a sender under review, and the report warns
MOST_SLICES = 5  # networks of the ring with a slice of their own
FEWEST_FOR_RATES = 5  # recipients: a rate over fewer says nothing, so the report prints only counts

Row = dict[str, Any]

# The methods of Formatter that the templates use as filters.
_FILTERS = (
    "number", "percent", "whole_percent", "day", "short_day", "days", "month", "local_day", "moment",
    "signed", "signed_percent", "points",
)  # fmt: skip
_LEAST_DIFFERENCE = 0.005  # half a point: a second rate that differs by less says nothing


def html(figures: Figures) -> str:
    """Return the report of one figures document as HTML, in the subscription's locale and the period's time zone."""
    formats = formatter(figures["subscription"]["locale"], figures["period"]["timezone"])
    template = environment(formats, is_html=True).get_template("statistics.html.j2")
    return template.render(**context(figures, formats), fonts=faces.inter(), style=style())


def context(figures: Figures, formats: Formatter) -> dict[str, Any]:
    """Return the variables of a report's templates: the figures, and the rows, colours and language made from them."""
    colours = palette(figures["issuer"]["color"])
    rows = defaultdict(list)
    for recipient in [] if is_summary(figures) else figures["recipients"]:
        rows[recipient["certificate_id"]].append(recipient)
    certificates = [
        _page(one, rows[one["certificate_id"]]) | {"anchor": f"certificate-{number}"}
        for number, one in enumerate(_by_need(figures["certificates"]), start=1)
    ]
    with_recipients = [one for one in certificates if one["recipients_count"]]
    is_short = len(with_recipients) <= MOST_PAGED
    return figures | {
        "certificates": certificates,
        "listed": [one | {"has_page": is_short or one["changed_count"] > 0} for one in with_recipients],
        "empty": [one for one in certificates if not one["recipients_count"]],
        "domains": [_domain(one) for one in figures["domains"]],
        "trend": _columns(figures["trend"]),
        "totals": figures["totals"] | {"has_rates": _has_rates(figures["totals"]), "known": _known(figures["totals"])},
        "fewest_for_rates": FEWEST_FOR_RATES,
        "most_bounced": MOST_BOUNCED,
        "first_todos": figures["todos"][:MOST_TODOS],
        "other_todos": figures["todos"][MOST_TODOS:],
        "is_letter": prints_on_letter(figures["subscription"]["locale"], figures["subscription"]["timezone"]),
        "palette": colours,
        "is_summary": is_summary(figures),
        "language": formats.language,
        "direction": formats.direction,
        "logo": checked_logo(figures["issuer"]["logo"]).shown,
    }


def is_summary(figures: Figures) -> bool:
    """Tell whether the report shows no recipients: it then comes without lists."""
    return figures["subscription"].get("detail") == "summary"  # figures of release 0.1 have none


def _by_need(certificates: list[CertificateFigures]) -> list[CertificateFigures]:
    """Return the certificates that can gain the most claims first, in the order of the document where they are equal."""
    return sorted(certificates, key=lambda one: (not one["recipients_count"], -one["claims_to_gain_count"]))


def _columns(trend: list[Trend]) -> list[Row]:
    """Return the columns of the trend with the heights of their bars, as parts of the highest."""
    highest = max((max(one["issued_count"], one["claimed_count"]) for one in trend), default=0)
    return [
        one | {"issued_part": one["issued_count"] / highest, "claimed_part": one["claimed_count"] / highest}
        for one in trend
        if highest
    ]


def _page(certificate: CertificateFigures, rows: list[Recipient]) -> Row:
    """Return a certificate with the rows that its page shows: at most ``MOST_ROWS`` bounced, and the head of each reminder.

    The new ones come first.
    """
    bounced = sorted((row for row in rows if row["is_bounced"]), key=lambda row: "bounced" not in row["new"].split())
    shares = sorted(certificate["shares"].items(), key=lambda share: (-share[1], share[0]))
    networks = _networks(shares)
    slices = _slices(networks)
    has_rates, reasons = _has_rates(certificate), certificate["machine_reasons"]
    return certificate | {
        "has_rates": has_rates,
        "known": _known(certificate),
        "has_many_bounces": _has_many_bounces(certificate),
        "shares": networks,
        "slices": slices,
        "ring": _ring(slices) if slices and has_rates else None,
        "machine_rules": {"opened": _rules(reasons["opened"]), "clicked": _rules(reasons["clicked"])},
        "bounced_rows": bounced[:MOST_ROWS],
        "is_long": len(bounced) > MOST_BESIDE,
        "reminders": [
            _reminder(todo, certificate["todos"][todo], certificate["new_todos"].get(todo, 0), rows)
            for todo in _REMINDERS
            if todo in certificate["todos"]
        ],
    }


def _reminder(todo: str, count: int, new_count: int, rows: list[Recipient]) -> Row:
    """Return a reminder with the recipients that it names, the new ones first; the list has the others."""
    chosen = [row for row in rows if row["todo"] == todo]
    named = sorted(chosen, key=lambda row: not row["is_new_todo"])[:MOST_NAMED]
    return {"todo": todo, "recipients_count": count, "new_count": new_count, "rows": named}


def _has_rates(counts: Counts | Domain) -> bool:
    """Tell whether rates are shown: not for a few recipients. Without any recipient, each rate is a dash."""
    return not 0 < counts["recipients_count"] < FEWEST_FOR_RATES


def _has_many_bounces(counts: CertificateFigures | Domain) -> bool:
    """Tell whether a warning is due: too many of the sent bounced, among enough recipients to tell."""
    return _has_rates(counts) and (counts["bounced_of_sent_rate"] or 0) > MOST_BOUNCED


def _domain(domain: Domain) -> Row:
    return domain | {"has_rates": _has_rates(domain), "has_many_bounces": _has_many_bounces(domain)}


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


def _networks(shares: list[tuple[str, int]]) -> list[Row]:
    """Return the networks with a slice and a colour of their own, largest first, then those of the others' slice and colour."""
    total = sum(count for _, count in shares)
    own = [channel for channel, _ in shares if channel in NETWORKS][:MOST_SLICES]
    networks: list[Row] = [
        {
            "channel": channel,
            "count": count,
            "part": Decimal(count) / total,
            "is_other": channel not in own,
            "colour": NETWORKS[channel] if channel in own else OTHERS,
        }
        for channel, count in shares
    ]
    return sorted(networks, key=lambda one: one["is_other"])


def _slices(networks: list[Row]) -> list[Row]:
    """Return the slices of the ring: at most ``MOST_SLICES`` networks, and the others together, with no channel."""
    others = sum(one["count"] for one in networks if one["is_other"])
    own = [one for one in networks if not one["is_other"]]
    return [*own, {"channel": None, "count": others, "colour": OTHERS}] if others else own


def _rules(counts: dict[str, int]) -> list[Row]:
    """Return the rules that recognised a machine, most frequent first. They add up to the machine-only count."""
    ranked = sorted(counts.items(), key=lambda rule: (-rule[1], rule[0]))
    return [{"name": name, "count": count} for name, count in ranked]


def _ring(slices: list[Row]) -> str:
    """Return the ring chart of shares as the data URL of an SVG. The page has its figures, beside it and as its alternative."""
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
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(translations(formats.locale.language), newstyle=True)  # type: ignore[attr-defined]
    for name in _FILTERS:
        made.filters[name] = getattr(formats, name)
    made.filters["width"] = _width
    made.filters["halves"] = _halves
    return made


def _single_line(value: Any) -> Any:
    return without_controls(value) if isinstance(value, str) else value


def _halves(texts: list[str]) -> tuple[list[str], list[str]]:
    """Return the texts for two columns of about equal height. Balanced columns of CSS would double WeasyPrint's time."""
    heights = list(accumulate(map(len, texts)))
    first = sum(height <= heights[-1] / 2 for height in heights) + 1
    return texts[:first], texts[first:]


def _width(rate: float | Decimal | None) -> str:
    """Return a rate as the CSS width of a bar, from 0 to 100 %."""
    return f"{min(max(float(rate or 0), 0), 1):.2%}"


@cache
def style() -> str:
    """Return the CSS of a report's page."""
    return (TEMPLATES / "report.css").read_text()
