"""A report's figures: everything that one report shows, landed as one document."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from etl import figures as documents
from etl.errors import UnknownName
from etl.figures import Figures, ListedSubscription
from etl.landing import Landing
from etl.periods import Period, midnight
from etl.settings import Settings
from etl.statistics import analysis, moved, news
from etl.statistics.coverage import Waivers, claim_logs_begin, mail_logs_begin, quality, received
from etl.statistics.metric_catalogue import METRIC_CATALOGUE_VERSION, bounds_of, with_shares
from etl.warehouse import Row, Warehouse

REMINDED_AFTER = timedelta(days=3)
"""Who was issued or mailed less than this before the period's end is not reminded."""


def subscriptions(warehouse: Warehouse) -> list[ListedSubscription]:
    """Return the subscriptions of the latest registry, by subscription_id."""
    return cast("list[ListedSubscription]", warehouse.rows("listed_subscriptions"))


@dataclass(frozen=True)
class Background:
    """What a report's figures depend on beside the warehouse and the configuration.

    ``mail_sources`` are the names of the sources that are mail logs. ``former`` is the period whose report was sent
    before, if any, and ``sent`` are its figures as they were sent. ``records`` are those of ``received``, which reports
    of the same period may share.
    """

    waivers: Waivers
    today: date
    mail_sources: Collection[str]
    former: Period | None = None
    records: Mapping[str, int] | None = None
    sent: Figures | None = None


def land_figures(
    warehouse: Warehouse,
    landing: Landing,
    settings: Settings,
    subscription: Mapping[str, Any],
    period: Period,
    background: Background,
) -> str:
    """Land all that one report shows as ``reports/<subscription_id>/<period>/figures.json``; return its path.

    ``subscription`` is a row of ``subscriptions``.
    """
    document = figures(warehouse, settings, subscription, period, background)
    path = landing.path("reports", subscription["subscription_id"], period.name, "figures.json")
    landing.write(path, documents.serialise(document))
    return path


def figures(
    warehouse: Warehouse,
    settings: Settings,
    subscription: Mapping[str, Any],
    period: Period,
    background: Background,
) -> Figures:
    """Return all that one report shows; raise UnknownName if the registry no longer has its issuer."""
    issuer = warehouse.rows("issuer", issuer_id=subscription["issuer_id"])
    if not issuer:
        raise UnknownName("issuer", subscription["issuer_id"])
    if background.sent and background.sent["issuer"]["issuer_id"] != subscription["issuer_id"]:
        background = replace(background, former=None, sent=None)
    scope = bounds_of(settings, period.end_at, subscription["issuer_id"])
    begin = mail_logs_begin(warehouse, settings, background.mail_sources)
    parts = scope | {"mail_logs_begin_at": begin and midnight(begin, "UTC")}
    todos = parts | {"remind_before_at": period.end_at - REMINDED_AFTER}
    former = background.former
    listed = todos | _since(former)
    claims_begin = claim_logs_begin(warehouse, settings, background.mail_sources)
    claims = {"claim_logs_begin_at": claims_begin and midnight(claims_begin, "UTC")}
    catalogue_rows = with_shares(warehouse, warehouse.rows("certificate_figures", **parts), period.last, scope)
    recipients = _with_channels(warehouse, warehouse.rows("reported_recipients", **listed), scope)
    certificates = _with_todos(warehouse, _with_reasons(warehouse, catalogue_rows, scope), listed)
    certificates = _with_news(warehouse, certificates, background, listed)
    records = background.records or received(warehouse, period)
    document: Row = _as_text(
        {
            "metric_catalogue_version": METRIC_CATALOGUE_VERSION,
            "subscription": {name: subscription[name] for name in documents.Subscription.__annotations__},
            "issuer": issuer[0],
            "period": _described(period),
            "counts_share_links": settings.credential.count_share_links,
            "quality": quality(
                warehouse, settings, period, background.waivers, background.today, background.mail_sources, records
            ),
            "since": former and former.name,
            "totals": warehouse.rows("totals", **parts)[0],
            "todos": warehouse.rows("todo_totals", **listed),
            "peer_rule": analysis.PEER_RULE,
            "domains": analysis.domains(warehouse, scope),
            "trend": analysis.trend(warehouse, scope, claims, period),
            "certificates": _with_analysis(warehouse, certificates, period, scope, parts, todos, claims),
            "recipients": recipients if subscription["detail"] == "recipients" else _without_addresses(recipients),
        }
    )
    document["news"] = _as_text(_news(warehouse, document, period, background, scope, parts))
    return cast("Figures", document)


def _since(former: Period | None) -> Row:
    """Return the bounds of what is new: the end of the report sent before, and who was too young to be reminded in it."""
    end = former and former.end_at
    return {"since_at": end, "remind_before_since_at": end and end - REMINDED_AFTER}


def _news(warehouse: Warehouse, document: Row, period: Period, background: Background, scope: Row, parts: Row) -> Row:
    """Return what is new since the report that was sent before, and what moved since the period before."""
    former, sent = background.former, background.sent
    compared = news.comparisons(warehouse, scope, period, document["quality"])
    found: Row = {
        "sent": former and _described(former),
        "is_quiet": False,
        "changes": {},
        "restated": [],
        "former": None if compared is None else _described(period.previous),
        "tests_count": len(compared or ()),
        "moved": moved.moved(compared or ()),
    }
    if former and sent and news.is_comparable(sent):
        end = {"period_end": former.end_at}
        found["changes"] = news.changes(document["totals"], sent["totals"])
        found["restated"] = news.restated(warehouse, sent, former.last, parts | end, scope | end)
        found["is_quiet"] = news.is_quiet(document, found["restated"], sent)
    return found


def _with_news(warehouse: Warehouse, rows: list[Row], background: Background, bounds: Row) -> list[Row]:
    """Return rows of certificates with what is new in each since the report that was sent before."""
    sent = background.sent if news.is_comparable(background.sent) else None
    bounced = {row["certificate_id"]: row["new_bounced_count"] for row in warehouse.rows("certificate_news", **bounds)}
    before = news.sent_certificates(sent) if sent else {}
    return [
        row
        | {
            "new_bounced_count": bounced.get(row["certificate_id"], 0),
            "changes": news.changes(row, before.get(row["certificate_id"], {})) if sent else {},
        }
        for row in rows
    ]


def _with_todos(warehouse: Warehouse, rows: list[Row], bounds: Row) -> list[Row]:
    """Return rows of certificates with the number of recipients that each thing to do concerns, and how many are new."""
    todos: dict[str, dict[str, int]] = defaultdict(dict)
    new: dict[str, dict[str, int]] = defaultdict(dict)
    for row in warehouse.rows("todo_counts", **bounds):
        todos[row["certificate_id"]][row["todo"]] = row["recipients_count"]
        if row["new_count"]:
            new[row["certificate_id"]][row["todo"]] = row["new_count"]
    return [row | {"todos": todos[row["certificate_id"]], "new_todos": new[row["certificate_id"]]} for row in rows]


def _with_analysis(
    warehouse: Warehouse, rows: list[Row], period: Period, scope: Row, parts: Row, todos: Row, claims: Row
) -> list[Row]:
    """Return rows of certificates with intervals, cohorts, the issuer's other certificates, and what they need."""
    intervals, peers = analysis.intervals(warehouse, parts), analysis.peers(warehouse, parts, claims)
    cohorts = analysis.cohorts(warehouse, scope, claims, period)
    needs = analysis.needs(warehouse, todos, period)
    nothing = {"claims_to_gain_count": 0, "changed_count": 0}
    return [
        row
        | {"intervals": intervals.get(name, {}), "cohorts": cohorts.get(name, []), "peers": peers.get(name, {})}
        | needs.get(name, nothing)
        for row in rows
        if (name := row["certificate_id"])
    ]


def _with_channels(warehouse: Warehouse, rows: list[Row], bounds: Row) -> list[Row]:
    """Return rows of recipients with the channels on which each shared, separated by blanks."""
    channels: dict[str, list[str]] = defaultdict(list)
    for row in warehouse.rows("recipient_channels", **bounds):
        channels[row["recipient_id"]].append(row["channel"])
    return [row | {"channels": " ".join(channels[row["recipient_id"]])} for row in rows]


def _without_addresses(rows: list[Row]) -> list[Row]:
    """Return rows of recipients as a summary has them: a text that holds an address, as a name may, is empty."""
    return [
        {name: "" if isinstance(value, str) and "@" in value else value for name, value in row.items()} for row in rows
    ]


def _with_reasons(warehouse: Warehouse, rows: list[Row], bounds: Row) -> list[Row]:
    """Add to each row the rules that recognised a machine: recipients by event type and rule."""
    reasons: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: {"opened": {}, "clicked": {}})
    for row in warehouse.rows("machine_reasons", **bounds):
        reasons[row["certificate_id"]][row["event_type"]][row["machine_reason"]] = row["recipients_count"]
    return [row | {"machine_reasons": reasons[row["certificate_id"]]} for row in rows]


def _described(period: Period) -> Row:
    return {
        "name": period.name,
        "frequency": period.frequency,
        "timezone": period.timezone,
        "first_date": period.first,
        "last_date": period.last,
        "start_at": period.start_at,
        "end_at": period.end_at,
    }


def _as_text(value: Any) -> Any:
    """Return a value with all its dates and times written as in the figures document."""
    if isinstance(value, dict):
        return {name: _as_text(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_as_text(part) for part in value]
    if isinstance(value, datetime):
        return f"{(value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None).isoformat()}Z"
    return value.isoformat() if isinstance(value, date) else value
