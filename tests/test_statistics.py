"""Promises of the statistics: every figure of the catalogue, on every engine."""

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from etl import statistics
from etl.errors import UnknownName
from etl.landing import Landing
from etl.periods import containing
from etl.warehouse import EVERYTHING, Warehouse
from tests import given

CASES = Path(__file__).parent / "cases" / "statistics"
AS_OF = date(2026, 11, 30)

Answer = list[dict[str, Any]]


def cases(stem: str) -> list[Any]:
    """Return the cases of one file, each under its name."""
    return [pytest.param(case, id=case["case"]) for case in yaml.safe_load((CASES / f"{stem}.yaml").read_text())]


def selected(rows: Answer, expect: list[Mapping[str, Any]]) -> Answer:
    """Return the rows, with only the columns that the case names."""
    columns = [*expect, *[{}] * len(rows)]
    return [{name: row[name] for name in wanted} for row, wanted in zip(rows, columns, strict=False)]


def check(case: Mapping[str, Any], rows: Answer) -> None:
    """Check that the rows are those that the case expects. Rates may differ as engines do."""
    assert selected(rows, case["expect"]) == [
        {name: close(value) for name, value in row.items()} for row in case["expect"]
    ]


def close(value: Any) -> Any:
    """Return a value to compare with: a rate with a relative tolerance of 1e-14, anything else as it is."""
    return pytest.approx(value, rel=1e-14) if isinstance(value, float) else value


@pytest.fixture
def brought(opened: Warehouse, landing: Landing) -> Callable[[Mapping[str, Any]], Warehouse]:
    """Return a function that loads the given tables of a case."""

    def bring(case: Mapping[str, Any]) -> Warehouse:
        given.bring(opened, landing, case["given"])
        return opened

    return bring


@pytest.mark.parametrize("case", cases("metric_catalogue"))
def test_the_catalogue_counts_as_it_is_defined(case: Mapping[str, Any], brought: Callable[..., Warehouse]) -> None:
    """Each figure follows its definition in the report's method note."""
    when = (case.get("as_of", AS_OF), case.get("timezone", "UTC"), case.get("issuer"), case.get("certificate"))
    check(case, statistics.catalogue(brought(case), given.configuration(case["given"]), *when))


@pytest.mark.parametrize("case", cases("listed_recipients"))
def test_every_recipient_is_listed_with_the_furthest_state(
    case: Mapping[str, Any], brought: Callable[..., Warehouse]
) -> None:
    """An issuer sees the furthest state of each recipient, and why a mail bounced."""
    when = (case.get("as_of", AS_OF), case.get("timezone", "UTC"), case.get("certificate", "c1"))
    check(case, statistics.recipients(brought(case), given.configuration(case["given"]), *when))


@pytest.mark.parametrize("case", cases("identity_recipients"))
def test_events_find_their_recipient(case: Mapping[str, Any], brought: Callable[..., Warehouse]) -> None:
    """There are three rules, the first match wins, and no recipient is guessed."""
    rows = brought(case).rows("identity_recipients", **EVERYTHING)
    check(case, sorted(rows, key=lambda row: row["identity_key"]))


@pytest.mark.parametrize("case", cases("attribution"))
def test_events_without_recipient_are_counted_once(case: Mapping[str, Any], brought: Callable[..., Warehouse]) -> None:
    """A data engineer sees how many events match no recipient. A repeated event counts once."""
    check(case, [statistics.attribution(brought(case))])


@pytest.mark.parametrize("case", cases("listed_slices"))
def test_slices_are_compared_with_the_expected_ones(case: Mapping[str, Any], brought: Callable[..., Warehouse]) -> None:
    """One line reports each source and day, missing ones too."""
    waivers = [(row["source"], row["day"], row["reason"]) for row in case.get("waivers", ())]
    opened, configured = brought(case), given.configuration(case["given"])
    rows = statistics.slices(opened, configured, waivers, case["today"], case.get("first"), case.get("last"))
    check(case, rows)
    assert statistics.whole_through(opened, configured, waivers) == case["whole_through"]


@pytest.mark.parametrize("case", cases("slice_oddities"))
def test_an_odd_slice_is_reported(case: Mapping[str, Any], brought: Callable[..., Warehouse]) -> None:
    """A loaded slice that differs from the nights before is reported."""
    opened, configured = brought(case), given.configuration(case["given"])
    assert statistics.oddities(opened, configured, "mail", date(2026, 11, 20)) == case["expect"]


@pytest.mark.parametrize("case", cases("identity_recipients"))
def test_a_warning_and_a_listing_count_the_same(case: Mapping[str, Any], brought: Callable[..., Warehouse]) -> None:
    """Both count the events without a recipient by the same rules, each with a different query."""
    limits = {"unattributed_rate_maximum": 0}
    opened, configured = brought(case), given.configuration({**case["given"], "validation": limits})
    for row in statistics.slices(opened, configured, (), AS_OF):
        odd = statistics.oddities(opened, configured, row["source"], row["load_date"])
        assert sum(int(sentence.split()[0]) for sentence in odd) == row["unattributed_count"]


@pytest.mark.parametrize("case", cases("certificate_figures"))
def test_a_report_has_the_rates_of_the_industry(
    case: Mapping[str, Any], brought: Callable[..., Warehouse], landing: Landing
) -> None:
    """A report has bounces by class, and opens and clicks as shares of the delivered."""
    figures = land(brought(case), landing, case)
    check(case, figures["certificates"])
    check({"expect": [case["totals"]]}, [figures["totals"]])


@pytest.mark.parametrize("case", cases("timed_clicks"))
def test_a_click_may_be_a_machines_by_its_time(
    case: Mapping[str, Any], brought: Callable[..., Warehouse], landing: Landing
) -> None:
    """Scanners that identify as a browser are counted separately, with the rule that found them."""
    check(case, land(brought(case), landing, case)["certificates"])


def test_a_changed_threshold_needs_no_new_load(opened: Warehouse, landing: Landing) -> None:
    """The same warehouse is read by the current rules."""
    events = [
        {"event_type": "delivered", "recipient_id": "r1"},
        *({"event_type": "clicked", "recipient_id": "r1", "link_key": key} for key in "ab"),
    ]
    given.bring(opened, landing, {"recipients": [{"recipient_id": "r1"}], "events": events})
    rules: list[dict[str, int]] = [
        {},
        {"click_after_delivery_seconds": 1},
        {"click_after_delivery_seconds": 2},
        {"links_at_once": 2},
    ]
    results = [
        statistics.catalogue(opened, given.configuration({"machines": rule}), AS_OF, "UTC", None, None)[0]
        for rule in rules
    ]
    assert [row["clicked_count"] for row in results] == [1, 1, 0, 0]
    assert [row["machine_only_clicked_count"] for row in results] == [0, 0, 1, 1]


@pytest.mark.parametrize("case", cases("share_links"))
def test_a_click_on_a_share_page_may_be_a_share(case: Mapping[str, Any], brought: Callable[..., Warehouse]) -> None:
    """A platform with share links in its mails sees the shares, in the counts and in each recipient's state."""
    opened, configured = brought(case), given.configuration(case["given"])
    check(case, statistics.catalogue(opened, configured, AS_OF, "UTC", None, None))
    listed = statistics.recipients(opened, configured, AS_OF, "UTC", "c1")
    assert [row["status"] for row in listed] == case["status"]


def test_to_count_share_links_needs_no_new_load(opened: Warehouse, landing: Landing) -> None:
    """The same warehouse is read by the current setting."""
    events = [{"event_type": "clicked", "recipient_id": "r1", "link_channel": "x"}]
    given.bring(opened, landing, {"recipients": [{"recipient_id": "r1"}], "events": events})
    results = [
        statistics.catalogue(opened, given.configuration({"count_share_links": on}), AS_OF, "UTC", None, None)[0]
        for on in (False, True, False)
    ]
    assert [row["shares"] for row in results] == [{}, {"x": 1}, {}]


def land(opened: Warehouse, landing: Landing, case: Mapping[str, Any]) -> dict[str, Any]:
    """Land a monthly report in Berlin's time zone, and return its figures."""
    subscription = {
        "subscription_id": "s1", "issuer_id": "i1", "email": "dean@northwind.example", "frequency": "monthly",
        "timezone": "Europe/Berlin", "locale": "en-GB", "is_paused": False,
    }  # fmt: skip
    period = containing(AS_OF, "monthly", "Europe/Berlin")
    waivers = [(row["source"], row["day"], row["reason"]) for row in case.get("waivers", ())]
    configured = given.configuration(case["given"])
    today = case.get("today", date(2026, 12, 3))
    path = statistics.land_figures(opened, landing, configured, subscription, period, waivers, today)
    figures: dict[str, Any] = json.loads(landing.read(path) or b"")
    return figures


@pytest.mark.parametrize("case", cases("quality"))
def test_a_report_says_how_complete_its_data_are(
    case: Mapping[str, Any], brought: Callable[..., Warehouse], landing: Landing
) -> None:
    """A report says whether its data are whole, what is missing, and what was waived and why."""
    assert land(brought(case), landing, case)["quality"] == case["expect"]


def test_landed_figures_are_all_that_a_report_needs(opened: Warehouse, landing: Landing) -> None:
    """Rendering never opens the warehouse."""
    case = yaml.safe_load((CASES / "figures.yaml").read_text())
    given.bring(opened, landing, case["given"])
    figures = land(opened, landing, case)
    assert {name: figures[name] for name in case["expect"]} == case["expect"]


def test_an_unknown_name_is_an_error(opened: Warehouse, landing: Landing) -> None:
    """A mistyped id does not give an empty answer."""
    given.bring(opened, landing, {})
    configured = given.configuration({})
    with pytest.raises(UnknownName, match="no certificate 'c9'"):
        statistics.recipients(opened, configured, AS_OF, "UTC", "c9")
    with pytest.raises(UnknownName, match="no issuer 'c1'"):
        statistics.catalogue(opened, configured, AS_OF, "UTC", "c1", None)


def test_subscriptions_are_those_of_the_registry(opened: Warehouse, landing: Landing) -> None:
    """A report goes to the current subscriptions."""
    row = {
        "subscription_id": "s1", "issuer_id": "i1", "email": "dean@example.com", "frequency": "weekly",
        "timezone": "UTC", "locale": "de-CH", "is_paused": True,
    }  # fmt: skip
    given.bring(opened, landing, {"subscriptions": [row]})
    assert statistics.subscriptions(opened) == [row]
