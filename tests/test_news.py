"""Promises of what is new since the last report: marks, changes, restated figures, and what moved."""

import itertools
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact

from etl import settings, statistics, warehouse
from etl.landing import Landing
from etl.periods import parse
from etl.statistics import moved
from etl.statistics.metric_catalogue import bounds_of
from etl.warehouse import Warehouse
from tests import given

CASES = Path(__file__).parent / "cases" / "statistics"
BERLIN = "Europe/Berlin"
SUBSCRIPTION = {
    "subscription_id": "s1", "issuer_id": "i1", "email": "dean@northwind.example", "frequency": "monthly",
    "timezone": BERLIN, "locale": "en-GB", "is_paused": False, "detail": "recipients",
}  # fmt: skip

Figures = dict[str, Any]


def cases(stem: str) -> list[Any]:
    """Return the cases of one file, each under its name."""
    return [pytest.param(case, id=case["case"]) for case in yaml.safe_load((CASES / f"{stem}.yaml").read_text())]


def figures(
    opened: Warehouse, given_: Mapping[str, Any], period: str, sent: Figures | None = None, **changed: Any
) -> Figures:
    """Return the figures of a period as they are landed, after a report with the figures ``sent``."""
    former = parse(sent["period"]["name"], sent["period"]["timezone"]) if sent else None
    background = statistics.Background((), date(2027, 3, 1), ["mail"], former, sent=sent)  # type: ignore[arg-type]
    timezone = changed.get("timezone", BERLIN)
    subscription = SUBSCRIPTION | changed
    document = statistics.figures(
        opened, given.configuration(given_), subscription, parse(period, timezone), background
    )
    landed: Figures = json.loads(json.dumps(document))
    return landed


def marks(row: Mapping[str, Any]) -> list[str]:
    """Return what is new of a row: its words, and ``todo`` where its thing to do is new."""
    return [*row["new"].split(), *["todo"] * row["is_new_todo"]]


@pytest.mark.parametrize("case", cases("news"))
def test_what_is_new_is_marked(case: Mapping[str, Any], opened: Warehouse, landing: Landing) -> None:
    """A reader sees which bounces and which things to do the last report did not have."""
    given.bring(opened, landing, case["given"])
    sent = figures(opened, case["given"], "2026-10") if case.get("former", True) else None
    found = figures(opened, case["given"], "2026-11", sent)
    assert {row["recipient_id"]: marks(row) for row in found["recipients"]} == case["new"]
    assert {name: found["certificates"][0][name] for name in case["certificate"]} == case["certificate"]
    for todo in found["todos"]:
        assert todo["new_count"] == sum(
            row["is_new_todo"] and row["todo"] == todo["todo"] for row in found["recipients"]
        )


TYPES = (
    "sent",
    "delivered",
    "bounced",
    "rejected",
    "opened",
    "clicked",
    "claimed",
    "downloaded",
    "shared",
    "added_to_profile",
)
EVENTS = st.lists(
    st.tuples(st.sampled_from(["r1", "r2", "r3"]), st.sampled_from(TYPES), st.integers(0, 90), st.booleans()), max_size=14
)  # fmt: skip
FIGURE_OF = {"opened": "opened", "clicked": "clicked", "claimed": "claimed", "added": "added_to_linkedin"}


def history(number: int, events: Sequence[Any], loaded: date | None = None) -> list[dict[str, Any]]:
    """Return events on days from October on. ``loaded`` is the day of the slice that brings them, if they came late."""
    begin = datetime(2026, 10, 1)
    return [
        {"event_key": f"e{number}-{n}", "recipient_id": who, "event_type": kind, "load_date": loaded or (begin + timedelta(days=day)).date(),
         "occurred_at": begin + timedelta(days=day, minutes=n), "is_suppressed": suppressed,
         "bounce_class": "hard" if kind == "bounced" else None, "channel": "x" if kind == "shared" else None}
        for n, (who, kind, day, suppressed) in enumerate(events)
    ]  # fmt: skip


@hypothesis.settings(max_examples=12, deadline=None)
@hypothesis.given(events=EVENTS, late=EVENTS, added=st.lists(st.integers(0, 80), min_size=3, max_size=3))
def test_no_row_is_new_twice_and_every_change_is_explained(
    events: list[Any], late: list[Any], added: list[int]
) -> None:
    """Over consecutive reports no row has a mark twice. A change is the new rows and what came late, and nothing else."""
    begin = datetime(2026, 10, 1)
    registered = [
        {"recipient_id": f"r{n + 1}", "created_at": begin + timedelta(days=day)} for n, day in enumerate(added)
    ]
    known = {"recipients": registered, "events": history(0, events)}
    with tempfile.TemporaryDirectory() as folder:
        table, landing = settings.Warehouse(url=f"duckdb:///{folder}/w.duckdb"), Landing(f"file://{folder}/landing")
        with warehouse.open(table, str, key_fingerprint="k") as opened:
            given.bring(opened, landing, known)
            reports = [figures(opened, known, "2026-10")]
            for period in ("2026-11", "2026-12"):
                reports.append(figures(opened, known, period, reports[-1]))
            for before, after in itertools.pairwise(reports):
                then = {row["recipient_id"]: (marks(row), row["todo"]) for row in before["recipients"]}
                for row in after["recipients"]:
                    old, todo = then.get(row["recipient_id"], ([], None))
                    assert not {*old} & {*row["new"].split()}
                    assert not row["is_new_todo"] or row["todo"] != todo
            given.bring_slice(
                opened,
                landing,
                "late",
                date(2026, 12, 31),
                [given.event(n, row) for n, row in enumerate(history(1, late, date(2026, 12, 31)))],
            )
            check_explained(figures(opened, known, "2026-12", reports[1]))


def check_explained(after: Figures) -> None:
    """Check that each change is the number of new rows and of restated ones."""
    came_late = {
        one["figure"]: one["count"] - one["sent_count"] for one in after["news"]["restated"] if one["certificate_id"] is None
    }  # fmt: skip
    words = [row["new"].split() for row in after["recipients"]]
    for word, figure in FIGURE_OF.items():
        new = sum(word in row for row in words)
        assert after["news"]["changes"][figure] == new + came_late.get(f"{figure}_count", 0)


def test_late_events_restate_a_report_that_was_sent(opened: Warehouse, landing: Landing) -> None:
    """The next report says figure by figure what became of the last one, and its changes are from what was printed."""
    known = {"recipients": [{"recipient_id": "r1"}, {"recipient_id": "r2"}, {"recipient_id": "r3"}]}
    given.bring(opened, landing, known)
    sent = figures(opened, known, "2026-10")
    events = [
        {"event_type": "claimed", "recipient_id": "r1", "occurred_at": datetime(2026, 10, 20)},
        {"event_type": "shared", "channel": "x", "recipient_id": "r1", "occurred_at": datetime(2026, 10, 20)},
        {"event_type": "claimed", "recipient_id": "r2"},
    ]
    given.bring_slice(opened, landing, "mail", date(2026, 11, 2), [given.event(n, row) for n, row in enumerate(events)])
    news = figures(opened, known, "2026-11", sent)["news"]
    assert [(one["certificate_id"], one["figure"], one["sent_count"], one["count"]) for one in news["restated"]] == [
        (None, "claimed_count", 0, 1), (None, "shared_or_downloaded_count", 0, 1),
        ("c1", "claimed_count", 0, 1), ("c1", "shared_or_downloaded_count", 0, 1), ("c1", "shares.x", 0, 1),
    ]  # fmt: skip
    assert (news["changes"]["claimed"], news["changes"]["recipients"]) == (2, 0)


def test_a_certificate_that_was_withdrawn_is_restated(opened: Warehouse, landing: Landing) -> None:
    """A figure that a corrected registry changed is not left unexplained."""
    known = {"certificates": [{"certificate_id": "c1"}, {"certificate_id": "c2", "name": "Withdrawn"}],
             "recipients": [{"recipient_id": "r1"}, {"recipient_id": "r2", "certificate_id": "c2"}]}  # fmt: skip
    given.bring(opened, landing, known)
    sent = figures(opened, known, "2026-10")
    given.bring(opened, landing, {name: rows[:1] for name, rows in known.items()})
    restated = figures(opened, known, "2026-11", sent)["news"]["restated"]
    assert [(one["name"], one["figure"], one["sent_count"], one["count"]) for one in restated] == [
        (None, "recipients_count", 2, 1), (None, "not_sent_count", 2, 1),
        ("Withdrawn", "recipients_count", 1, 0), ("Withdrawn", "not_sent_count", 1, 0),
    ]  # fmt: skip


def test_figures_of_another_definition_or_issuer_are_not_compared(opened: Warehouse, landing: Landing) -> None:
    """No difference is printed that is one of definitions. A subscription that changed its issuer begins anew."""
    known = {"recipients": [{"recipient_id": "r1"}]}
    given.bring(opened, landing, known)
    sent = figures(opened, known, "2026-10")
    other = figures(opened, known, "2026-11", sent | {"metric_catalogue_version": 0})
    assert (other["since"], other["news"]["changes"], other["certificates"][0]["changes"]) == ("2026-10", {}, {})
    assert figures(opened, known, "2026-11", sent | {"issuer": {"issuer_id": "i9"}})["since"] is None


QUIET: dict[str, Any] = {
    "recipients": [{"recipient_id": "r1"}, {"recipient_id": "r2"}],
    "events": [{"event_type": "delivered", "recipient_id": "r1", "load_date": date(2026, 10, 2)}],
    "sources": {"mail": {"since": date(2026, 10, 2), "until": date(2026, 10, 2)}},
}
LOUD: dict[str, dict[str, Any]] = {
    "an event": {"events": [{"event_type": "clicked", "recipient_id": "r1"}]},
    "an event by software": {"events": [{"event_type": "clicked", "recipient_id": "r1", "is_machine": True}]},
    "a recipient": {"recipients": [*QUIET["recipients"], {"recipient_id": "r3"}]},
    "a certificate": {"certificates": [{"certificate_id": "c1"}, {"certificate_id": "c2"}]},
    "a late event": {"events": [{"event_type": "opened", "recipient_id": "r1", "occurred_at": datetime(2026, 10, 9)}]},
}


@pytest.mark.parametrize("loud", [None, *LOUD])
def test_a_period_without_anything_new_is_quiet(loud: str | None, opened: Warehouse, landing: Landing) -> None:
    """Only where neither a figure nor a row is other than in the last report is nothing new."""
    given.bring(opened, landing, QUIET)
    sent = figures(opened, QUIET, "2026-10")
    assert not sent["news"]["is_quiet"]
    changed = LOUD[loud] if loud else {}
    given.bring_registry(opened, landing, QUIET | changed)
    rows = [given.event(7 + n, {"source": "other", **row}) for n, row in enumerate(changed.get("events", ()))]
    given.bring_slice(opened, landing, "other", date(2026, 11, 2), rows)
    assert figures(opened, QUIET, "2026-11", sent)["news"]["is_quiet"] == (loud is None)


# What moved


@pytest.mark.parametrize("case", cases("period_measures"))
def test_rates_and_volumes_of_a_period(case: Mapping[str, Any], opened: Warehouse, landing: Landing) -> None:
    """A rate is of the recipients added in the period, at its end. A volume is what happened in it."""
    given.bring(opened, landing, case["given"])
    bounds = bounds_of(given.configuration({}), datetime(2026, 12, 1), "i1") | {"period_start": datetime(2026, 11, 1)}
    rows = opened.rows("period_measures", **bounds)
    assert [{name: row[name] for name in wanted} for row, wanted in zip(rows, case["expect"], strict=True)] == case[
        "expect"
    ]


def batch(day: datetime, count: int, claimed: int) -> dict[str, Any]:
    """Return recipients who were added on a day, and the claims that some made on the next."""
    names = [f"{day:%m}-{n}" for n in range(count)]
    return {
        "recipients": [{"recipient_id": name, "created_at": day} for name in names],
        "events": [
            {"event_type": "claimed", "recipient_id": name, "occurred_at": day + timedelta(days=1),
             "load_date": (day + timedelta(days=1)).date()}
            for name in names[:claimed]
        ],
    }  # fmt: skip


def both(one: Mapping[str, Any], other: Mapping[str, Any], since: date) -> dict[str, Any]:
    """Return two batches as one case, with a log that begins on a day."""
    joined = {name: [*one[name], *other[name]] for name in one}
    return joined | {"sources": {"mail": {"since": since, "until": since}}, "slices": [{"load_date": since}]}


OCTOBER, NOVEMBER = batch(datetime(2026, 10, 5), 60, 48), batch(datetime(2026, 11, 5), 60, 12)


def test_what_moved_is_said_with_both_figures(opened: Warehouse, landing: Landing) -> None:
    """A reader sees what moved in points of a rate and in per cent of a volume."""
    known = both(OCTOBER, NOVEMBER, date(2026, 9, 1))
    given.bring(opened, landing, known)
    news = figures(opened, known, "2026-11")["news"]
    assert (news["former"]["name"], news["tests_count"]) == ("2026-10", 8)
    assert [{name: one[name] for name in ("kind", "measure", "count", "former_count", "change")} for one in news["moved"]] == [
        {"kind": "rate", "measure": "claimed", "count": 12, "former_count": 48, "change": pytest.approx(-0.6)},
        {"kind": "rate", "measure": "opened", "count": 0, "former_count": 0, "change": 0},
        {"kind": "volume", "measure": "claimed", "count": 12, "former_count": 48, "change": pytest.approx(-0.75)},
    ][::2]  # fmt: skip


@pytest.mark.parametrize(
    ("known", "waived"),
    [
        (both(OCTOBER, NOVEMBER, date(2026, 10, 1)), ()),  # Berlin's October begins on the last of September
        (both({"recipients": [], "events": []}, NOVEMBER, date(2026, 9, 1)), ()),
    ],
)
def test_a_first_period_is_compared_with_nothing(
    known: dict[str, Any], waived: tuple[()], opened: Warehouse, landing: Landing
) -> None:
    """Where the logs or the issuer's certificates begin in the period before, nothing seems to rise."""
    given.bring(opened, landing, known)
    assert figures(opened, known, "2026-11")["news"]["moved"] == []


COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))


@hypothesis.given(COUNTS, st.floats(0.05, 0.95))
def test_the_tests_are_those_of_a_reference_library(counts: tuple[int, ...], part: float) -> None:
    """Compare with scipy."""
    one, more, other, further = counts
    table = [[one, more], [other, further]]
    assert moved.of_two_rates(one, one + more, other, other + further) == pytest.approx(
        fisher_exact(table)[1], abs=1e-9
    )
    if one + other:
        assert moved.of_two_volumes(one, other, part) == pytest.approx(
            binomtest(one, one + other, part).pvalue, abs=1e-9
        )


def test_large_counts_are_compared_exactly() -> None:
    """An issuer with a hundred thousand recipients has the same test."""
    assert moved.of_two_rates(50_000, 100_000, 50_500, 100_000) == pytest.approx(0.0256396, abs=1e-6)
    assert moved.of_two_volumes(100_000, 100_600, 0.5) == pytest.approx(0.1810919, abs=1e-6)


@hypothesis.given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_as_its_author_says(p_values: list[float]) -> None:
    """Step by step: the smallest p value against level / n, the next against level / (n - 1), until one fails."""
    level, rejected = 0.05, set()
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        if p_values[position] * (len(p_values) - rank) > level:
            break
        rejected.add(position)
    assert {n for n, adjusted in enumerate(moved.holm(p_values)) if adjusted <= level} == rejected


def simulated(rng: random.Random, certificates: int, per_day: float) -> list[list[dict[str, Any]]]:
    """Return the measures of two months in which nothing changes: recipients come and act at random, each as any other.

    Half a year before has brought recipients who act in both months.
    """
    chances = {
        name: rng.uniform(0.1, 0.9)
        for name in ("opened", "claimed", "shared_or_downloaded", "added_to_linkedin", "bounced")
    }
    delay = rng.uniform(1, 10)
    rows = [
        [dict.fromkeys(MEASURES, 0) | {"certificate_id": name} for name in (*range(certificates), None)]
        for _ in range(2)
    ]
    now = -180.0
    while (now := now + rng.expovariate(per_day)) < 60:
        own = rng.randrange(certificates)
        add(rows, own, "recipients_count", now, now)
        for name, chance in chances.items():
            if rng.random() < chance:
                add(rows, own, name, now, now if name == "bounced" else now + rng.expovariate(1 / delay))
    return rows


MEASURES = [
    f"{name}_{kind}"
    for name in ("recipients", "opened", "claimed", "shared_or_downloaded", "added_to_linkedin", "bounced")
    for kind in ("count", "volume")
]


def add(rows: list[list[dict[str, Any]]], own: int, name: str, added: float, acted: float) -> None:
    """Count an action in the rates of the month in which the recipient was added, and in the volumes of its own."""
    for month, of_month in enumerate(rows):
        begin, end = 30 * month, 30 * month + 30
        for row in (of_month[own], of_month[-1]):
            if name == "recipients_count":
                row[name] += begin <= added < end
            else:
                row[f"{name}_count"] += begin <= added < end and acted < end
                row[f"{name}_volume"] += begin <= acted < end


def test_noise_is_not_said_to_have_moved() -> None:
    """Of 1,000 reports in which nothing changed, at most one in twenty says that anything moved."""
    rng = random.Random(20261130)
    marked = 0
    for _ in range(1000):
        former, now = simulated(rng, certificates=rng.randint(1, 4), per_day=rng.uniform(0.2, 2))
        marked += bool(moved.moved(moved.compare(now, former, 0.5)))
    assert marked <= 50


def test_at_most_five_lines_say_what_moved() -> None:
    """However much moved, the strongest five are said."""
    one = dict.fromkeys(MEASURES, 5) | {"recipients_count": 1000, "certificate_id": None}
    other = dict.fromkeys(MEASURES, 900) | {"recipients_count": 1000, "certificate_id": None}
    more = [row | {"certificate_id": "c1"} for row in (one, other)]
    found = moved.moved(moved.compare([one, more[0]], [other, more[1]], 0.5))
    assert len(found) == 5 and found == sorted(found, key=lambda line: line["p_value"])


def test_few_recipients_have_no_rates_that_move() -> None:
    """A rate of four recipients says nothing."""
    one = dict.fromkeys(MEASURES, 0) | {"recipients_count": 4, "certificate_id": None}
    other = dict.fromkeys(MEASURES, 4) | {"recipients_count": 4, "certificate_id": None}
    found = moved.compare([one, one | {"certificate_id": "c1"}], [other, other | {"certificate_id": "c1"}], 0.5)
    assert {line.kind for line in found} == {"volume"}
