"""Promises of a report's analyses: a plain Python oracle and a reference library give the same figures for any history."""

import itertools
import statistics as mathematics
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import hypothesis
import pytest
from hypothesis import strategies as st
from scipy.stats import binomtest

from etl import settings, warehouse
from etl.landing import Landing
from etl.statistics import analysis
from tests import given
from tests.test_statistics import land

BEGIN, LOGS_BEGIN, END = datetime(2026, 7, 25), datetime(2026, 9, 10), datetime(2026, 11, 30, 23)
PEERS = 2  # recipients that make a certificate one of the others, so that small histories have some
DOMAINS = ("a.example", "b.example", "c.example", "d.example")
INSTANTS = st.integers(0, int((END - BEGIN) / timedelta(hours=1)) - 1).map(lambda hour: BEGIN + timedelta(hours=hour))
RECIPIENTS = st.lists(
    st.tuples(st.sampled_from(["c1", "c2", "c3", "c4"]), st.sampled_from(DOMAINS), st.integers(0, 3), INSTANTS),
    max_size=16,
)
TYPES = ("delivered", "bounced", "rejected", "opened", "clicked", "claimed", "downloaded", "shared", "added_to_profile")
HISTORY = st.lists(
    st.tuples(
        st.integers(0, 15),
        st.sampled_from(TYPES),
        INSTANTS,
        st.booleans(),
        st.sampled_from(["hard", "soft", "block", None]),
    ),
    max_size=40,
)

Row = dict[str, Any]


def figures_of(recipients: list[Any], history: list[Any]) -> tuple[Row, dict[str, datetime]]:
    """Return a report's figures of random recipients with a random history, and when each was added."""
    registered = [
        {"recipient_id": f"r{n:02}", "certificate_id": certificate, "email": f"p{person}@{domain}", "created_at": added}
        for n, (certificate, domain, person, added) in enumerate(recipients)
    ]
    events = [
        {"recipient_id": f"r{who:02}", "event_type": kind, "occurred_at": at + timedelta(seconds=n), "load_date": at.date(),
         "is_machine": is_machine, "bounce_class": bounce if kind == "bounced" else None,
         "channel": "x" if kind == "shared" else None, "source": "pixel"}
        for n, (who, kind, at, is_machine, bounce) in enumerate(history)
    ]  # fmt: skip
    case: Row = {
        "given": {
            "certificates": [{"certificate_id": f"c{n}"} for n in range(1, 5)],
            "recipients": registered,
            "events": events,
            "sources": {"pixel": {"since": LOGS_BEGIN.date()}},
        }
    }
    with tempfile.TemporaryDirectory() as folder:
        table, landing = settings.Warehouse(url=f"duckdb:///{folder}/w.duckdb"), Landing(f"file://{folder}/landing")
        with warehouse.open(table, str, key_fingerprint="k") as opened:
            given.bring(opened, landing, case["given"])
            return land(opened, landing, case), {row["recipient_id"]: row["created_at"] for row in registered}


def at(row: Row, name: str) -> datetime | None:
    """Return a time of a recipient as naive UTC."""
    return datetime.fromisoformat(row[name]).astimezone(UTC).replace(tzinfo=None) if row[name] else None


def first(*times: datetime | None) -> datetime | None:
    """Return the earliest time."""
    return min((time for time in times if time), default=None)


def within(row: Row, name: str, added: datetime, days: int) -> bool:
    """Tell whether something happened within so many days."""
    names = ("shared_at", "downloaded_at") if name == "shared_or_downloaded_at" else (name,)
    time = first(*(at(row, one) for one in names))
    return time is not None and time < added + timedelta(days=days)


@hypothesis.settings(max_examples=30, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(recipients=RECIPIENTS, history=HISTORY)
def test_an_oracle_gives_the_same(recipients: list[Any], history: list[Any]) -> None:
    """Whatever happened, intervals, cohorts, other certificates, domains, trend and people are those that a loop counts."""
    rule = {"peer_days": 7, "peer_recipients": PEERS}
    with mock.patch.object(analysis, "PEER_RULE", rule), mock.patch.object(analysis, "MOST_DOMAINS", 2):
        figures, added = figures_of(recipients, history)
    rows = figures["recipients"]
    certificates = figures["certificates"]
    for one in certificates:
        own = [row for row in rows if row["certificate_id"] == one["certificate_id"]]
        assert_intervals(one)
        assert_cohorts(one, own, added)
    assert_peers(certificates, rows, added)
    assert_domains(figures, rows)
    assert_trend(figures, rows, added)
    totals = figures["totals"]
    assert totals["people_count"] == len({row["email"] for row in rows})
    assert totals["claimed_people_count"] == len({row["email"] for row in rows if row["claimed_at"]})


def assert_intervals(one: Row) -> None:
    """Compare with scipy."""
    assert bool(one["intervals"]) == bool(one["recipients_count"])
    for measure, interval in one["intervals"].items():
        wanted = binomtest(one[f"{measure}_count"], one["recipients_count"]).proportion_ci(method="wilson")
        assert (interval["low_rate"], interval["high_rate"]) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def assert_cohorts(one: Row, own: list[Row], added: dict[str, datetime]) -> None:
    """Recount the cohorts by local months, those before September together."""

    def month(row: Row) -> str:
        local = added[row["recipient_id"]].replace(tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin"))
        return max(f"{local:%Y-%m}-01", "2026-08-32")

    seen = [row for row in own if added[row["recipient_id"]] >= LOGS_BEGIN]
    groups = [(key, list(group)) for key, group in itertools.groupby(sorted(seen, key=month), month)]
    wanted = [*groups, (None, seen)] if seen else []
    assert len(one["cohorts"]) == len(wanted)
    for cohort, (key, group) in zip(one["cohorts"], wanted, strict=True):
        assert cohort["first_date"] == (None if key == "2026-08-32" else key)
        assert cohort["recipients_count"] == len(group)
        ages = [END - added[row["recipient_id"]] for row in group]
        assert cohort["mature_day"] == max(n for n in (0, 1, 3, 7, 30) if min(ages) >= timedelta(days=n))
        for n in (1, 3, 7, 30):
            old = [row for row, age in zip(group, ages, strict=True) if age >= timedelta(days=n)]
            claimed = sum(within(row, "claimed_at", added[row["recipient_id"]], n) for row in old)
            assert (cohort[f"day_{n}_of_count"], cohort[f"day_{n}_count"]) == (len(old), claimed)
            assert cohort[f"day_{n}_rate"] == (pytest.approx(claimed / len(old)) if old else None)


def assert_peers(certificates: list[Row], rows: list[Row], added: dict[str, datetime]) -> None:
    """Recount the six measures of each certificate, and the median of the others."""
    counted: dict[str, dict[str, tuple[int, int]]] = {}
    old_enough: dict[str, int] = {}
    for one in certificates:
        own = [row for row in rows if row["certificate_id"] == one["certificate_id"]]
        old = [row for row in own if LOGS_BEGIN <= added[row["recipient_id"]] <= END - timedelta(days=7)]
        delivered = [row for row in own if row["outcome"] == "delivered"]
        bounced = sum(row["outcome"] == "bounced" for row in own)
        early = {
            measure: (sum(within(row, f"{name}_at", added[row["recipient_id"]], 7) for row in old), len(old))
            for measure, name in (("claimed", "claimed"), ("shared_or_downloaded", "shared_or_downloaded"),
                                  ("added_to_linkedin", "added_to_profile"))
        }  # fmt: skip
        counted[one["certificate_id"]] = early | {
            "opened_of_delivered": (sum(bool(row["opened_at"]) for row in delivered), len(delivered)),
            "clicked_of_delivered": (sum(bool(row["clicked_at"]) for row in delivered), len(delivered)),
            "bounced_of_sent": (bounced, sum(bool(row["sent_at"]) for row in own)),
        }
        old_enough[one["certificate_id"]] = len(old)
    for one in certificates:
        assert bool(one["peers"]) == bool(one["recipients_count"])
        for measure, found in one["peers"].items():
            count, of = counted[one["certificate_id"]][measure]
            others = [
                count / of
                for name, by_measure in counted.items()
                for count, of in [by_measure[measure]]
                if name != one["certificate_id"] and old_enough[name] >= PEERS and of
            ]
            assert (found["within_count"], found["of_count"], found["others_count"]) == (count, of, len(others))
            assert found["others_rate"] == (pytest.approx(mathematics.median(others)) if others else None)


def assert_domains(figures: Row, rows: list[Row]) -> None:
    """Recount the domains, and check that every column adds up to the totals."""

    def domain(row: Row) -> str:
        return str(row["email"].split("@")[1])

    for found in figures["domains"]:
        named = {one["domain"] for one in figures["domains"]}
        own = [
            row for row in rows if domain(row) == found["domain"] or (not found["domain"] and domain(row) not in named)
        ]
        assert found["domains_count"] == len({domain(row) for row in own})
        assert found["recipients_count"] == len(own)
        assert found["sent_count"] == sum(bool(row["sent_at"]) for row in own)
        for kind in ("hard", "soft", "block"):
            bounced = [row for row in own if row["outcome"] == "bounced" and row["bounce_class"] == kind]
            assert found[f"bounced_{kind}_count"] == len(bounced)
        assert found["opened_of_delivered_count"] == sum(
            row["outcome"] == "delivered" and bool(row["opened_at"]) for row in own
        )
    for name in ("recipients", "sent", "delivered", "bounced", "claimed"):
        assert sum(one[f"{name}_count"] for one in figures["domains"]) == figures["totals"][f"{name}_count"]
    for one in figures["domains"]:
        assert one["bounced_count"] == sum(
            one[f"bounced_{kind}_count"] for kind in ("hard", "soft", "block", "undetermined")
        )


def assert_trend(figures: Row, rows: list[Row], added: dict[str, datetime]) -> None:
    """Recount the last twelve weeks, which end with the report. The summer time of Berlin ends on 25 October."""
    for (index, span), start in zip(enumerate(figures["trend"]), weeks(), strict=True):
        end = [*weeks(), END][index + 1]
        steps = {
            "issued": [added[row["recipient_id"]] for row in rows],
            "claimed": [at(row, "claimed_at") for row in rows],
            "shared_or_downloaded": [first(at(row, "shared_at"), at(row, "downloaded_at")) for row in rows],
        }
        for step, times in steps.items():
            assert span[f"{step}_count"] == sum(time is not None and start <= time < end for time in times)
        assert span["is_cut"] == (start < LOGS_BEGIN)


def weeks() -> Iterator[datetime]:
    """Yield the first instant of each week as naive UTC."""
    for number in range(12):
        local = datetime(2026, 9, 8, tzinfo=ZoneInfo("Europe/Berlin")) + timedelta(days=7 * number)
        yield local.astimezone(UTC).replace(tzinfo=None)
