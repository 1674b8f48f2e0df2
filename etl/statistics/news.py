"""What is new since the report that was sent before: the changes of each figure, restated figures, and quiet periods.

Every count comes from SQL or from the figures kept with the delivery. This module sets the two beside each other.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from etl.figures import Figures
from etl.periods import Period
from etl.statistics import moved
from etl.statistics.metric_catalogue import METRIC_CATALOGUE_VERSION, with_shares
from etl.warehouse import Row, Warehouse

CHANGES = (
    "recipients", "claimed", "shared_or_downloaded", "added_to_linkedin",
    "sent", "delivered", "opened", "clicked", "bounced",
)  # fmt: skip
"""The figures whose changes a report tells."""

PRINTED = (
    *CHANGES, "rejected", "machine_only_opened", "machine_only_clicked", "complained", "unsubscribed",
    "bounced_hard", "bounced_soft", "bounced_block", "bounced_undetermined", "opened_of_delivered", "clicked_of_delivered",
    "not_sent", "rejected_after_sending", "waiting", "unknown", "before_logs",
)  # fmt: skip
"""The counts that a report prints, beside the shares by network."""


def changes(row: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, int]:
    """Return how much each figure is above that of the report before, where a certificate may be missing."""
    return {figure: row[f"{figure}_count"] - sent.get(f"{figure}_count", 0) for figure in CHANGES}


def sent_certificates(sent: Figures) -> dict[str, Mapping[str, Any]]:
    """Return the certificates of the report before, by id."""
    return {row["certificate_id"]: row for row in sent["certificates"]}


def is_comparable(sent: Figures | None) -> bool:
    """Tell whether a report was sent before whose figures have the same definitions."""
    return sent is not None and sent["metric_catalogue_version"] == METRIC_CATALOGUE_VERSION


def restated(warehouse: Warehouse, sent: Figures, last: date, parts: Row, scope: Row) -> list[Row]:
    """Return each figure of the report before that is another today.

    ``last`` is the last day of its period, and ``parts`` and ``scope`` are bound for the end of it.
    """
    (totals,) = warehouse.rows("totals", **parts)
    rows = with_shares(warehouse, warehouse.rows("certificate_figures", **parts), last, scope)
    now, before = {row["certificate_id"]: row for row in rows}, sent_certificates(sent)
    found = _differing(None, totals, sent["totals"])
    for name in sorted({*now, *before}, key=lambda one: (now.get(one) or before[one])["name"]):
        found += _differing(name, now.get(name, {}), before.get(name, {}))
    return found


def is_quiet(document: Mapping[str, Any], restated: Sequence[Row], sent: Figures) -> bool:
    """Tell whether nothing in a report is other than in the report before: no figure, no thing to do and no row."""
    before = sent_certificates(sent)
    return (
        document["quality"]["is_whole"]
        and len(document["quality"]["waived"]) == len(sent["quality"]["waived"])
        and not restated
        and {row["certificate_id"] for row in document["certificates"]} == before.keys()
        and not any(_differing(None, row, before[row["certificate_id"]]) for row in document["certificates"])
        and _listed(document["todos"]) == _listed(sent["todos"])
        and not any(row["new"] or row["is_new_todo"] for row in document["recipients"])
    )


def comparisons(
    warehouse: Warehouse, scope: Row, period: Period, quality: Mapping[str, Any]
) -> list[moved.Comparison] | None:
    """Return the period beside the one before; None where the period before does not lie whole within the logs."""
    former, begin = period.previous, quality["logs_begin"]
    first = former.start_at.date().isoformat()
    is_covered = quality["is_whole"] and begin is not None and begin <= first
    if not is_covered or any(slice_["day"] >= first for slice_ in quality["waived"]):
        return None
    now, before = (_measures(warehouse, scope, one) for one in (period, former))
    lengths = [(one.end_at - one.start_at) / timedelta(days=1) for one in (period, former)]
    return moved.compare(now, before, lengths[0] / sum(lengths))


def _measures(warehouse: Warehouse, scope: Row, period: Period) -> list[Row]:
    bounds = scope | {"period_end": period.end_at}
    return warehouse.rows("period_measures", **bounds, period_start=period.start_at)


def _differing(certificate_id: str | None, now: Mapping[str, Any], sent: Mapping[str, Any]) -> list[Row]:
    """Return the counts that differ; a certificate that one side does not have counts 0 there."""
    counts, sent_counts = _counts(now), _counts(sent)
    # A figure that an earlier release did not have is no difference; a network that nobody shared on has no key.
    known = {one for one in counts | sent_counts if one.startswith("shares.") or not (now and sent)}
    names = [one for one in counts | sent_counts if one in known or (one in counts and one in sent_counts)]
    name = None if certificate_id is None else (now or sent)["name"]
    return [
        {"certificate_id": certificate_id, "name": name, "figure": figure, "sent_count": before, "count": count}
        for figure in names
        if (count := counts.get(figure, 0)) != (before := sent_counts.get(figure, 0))
    ]


def _counts(row: Mapping[str, Any]) -> dict[str, int]:
    """Return the printed counts of a row under the names of their keys, ``shares.x`` for a network."""
    shares = {f"shares.{channel}": count for channel, count in row.get("shares", {}).items()}
    return {key: row[key] for figure in PRINTED if (key := f"{figure}_count") in row} | shares


def _listed(todos: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return [(item["todo"], item["recipients_count"]) for item in todos]
