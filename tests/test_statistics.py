"""Promises of the statistics: every figure of the catalogue, on every engine."""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from etl import render, settings, statistics, warehouse
from etl.errors import UnknownName
from etl.landing import Landing
from etl.periods import latest_ended_by, parse
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
    """Land a report in Berlin's time zone, of November unless the case is of another frequency; return its figures."""
    frequency = case.get("frequency", "monthly")
    subscription = {
        "subscription_id": "s1", "issuer_id": "i1", "email": "dean@northwind.example", "frequency": frequency,
        "timezone": "Europe/Berlin", "locale": "en-GB", "is_paused": False, "detail": case.get("detail", "recipients"),
    }  # fmt: skip
    period = latest_ended_by(AS_OF, frequency, "Europe/Berlin")
    waivers = [(row["source"], row["day"], row["reason"]) for row in case.get("waivers", ())]
    configured = given.configuration(case["given"])
    mail_sources = case.get("mail_sources", ["mail"])
    former = parse(case["former"], "Europe/Berlin") if "former" in case else None
    background = statistics.Background(waivers, case.get("today", date(2026, 12, 3)), mail_sources, former)
    path = statistics.land_figures(opened, landing, configured, subscription, period, background)
    figures: dict[str, Any] = json.loads(landing.read(path) or b"")
    return figures


@pytest.mark.parametrize("case", cases("quality"))
def test_a_report_says_how_complete_its_data_are(
    case: Mapping[str, Any], brought: Callable[..., Warehouse], landing: Landing
) -> None:
    """A report says whether its data are whole, what is missing, and what was waived and why."""
    quality = land(brought(case), landing, case)["quality"]
    assert {name: quality[name] for name in case["expect"]} == case["expect"]
    assert set(quality) - set(case["expect"]) == {"slices", "records"}  # these have cases of their own


@pytest.mark.parametrize("case", cases("parts"))
def test_the_parts_of_the_sums_are_said(
    case: Mapping[str, Any], brought: Callable[..., Warehouse], landing: Landing
) -> None:
    """Every recipient is in one part, and what no log can know is counted apart, for each certificate and in all."""
    figures = land(brought(case), landing, case)
    check(case, figures["certificates"])
    check(case, [figures["totals"]])


@pytest.mark.parametrize("case", cases("todos"))
def test_the_to_do_list_is_true(case: Mapping[str, Any], brought: Callable[..., Warehouse], landing: Landing) -> None:
    """Each recipient has the one thing that helps, and each count of the list is that of rows with that todo."""
    figures = land(brought(case), landing, case)
    rows = {row["recipient_id"]: row for row in figures["recipients"]}
    assert {name: {key: rows[name][key] for key in wanted} for name, wanted in case["expect"].items()} == case["expect"]
    if "todos" in case:
        assert figures["todos"] == [{"new_count": 0} | todo for todo in case["todos"]]
    for todo in figures["todos"]:
        assert todo["recipients_count"] == sum(row["todo"] == todo["todo"] for row in rows.values())


ANALYSES = (
    "rate_intervals", "claim_cohorts", "receiving_domains", "certificate_peers", "trend", "certificate_needs", "people",
    "records",
)  # fmt: skip


def multiplied(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a case with its many recipients written out: ``many`` counts them by certificate, ``claimed`` those who claimed."""
    tables = case["given"]
    many = [(name, f"{name}-{n}") for name, count in tables.get("many", {}).items() for n in range(1, count + 1)]
    claims = [f"{name}-{n}" for name, count in tables.get("claimed", {}).items() for n in range(1, count + 1)]
    recipients = [{"recipient_id": recipient, "certificate_id": name} for name, recipient in many]
    claimed = [
        {"event_type": "claimed", "recipient_id": recipient, "event_key": recipient, "load_date": date(2026, 1, 2),
         "occurred_at": datetime(2026, 1, 2)}
        for recipient in claims
    ]  # fmt: skip
    return {
        **case,
        "given": {
            **tables,
            "recipients": [*tables.get("recipients", ()), *recipients],
            "events": [*tables.get("events", ()), *claimed],
        },
    }


def holds(actual: Any, expected: Any, places: float) -> bool:
    """Tell whether the figures are those expected. Of a mapping only the keys that the case names are compared."""
    if isinstance(expected, dict):
        return all(holds(actual[name], value, places) for name, value in expected.items())
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(map(holds, actual, expected, [places] * len(expected)))
    if isinstance(expected, float):
        return actual is not None and abs(actual - expected) <= places
    return bool(actual == expected)


@pytest.mark.parametrize("case", [case for stem in ANALYSES for case in cases(stem)])
def test_a_report_analyses_as_it_says(
    case: Mapping[str, Any], brought: Callable[..., Warehouse], landing: Landing
) -> None:
    """Each figure beyond the catalogue follows its definition in the method note. Published intervals have four digits."""
    whole = multiplied(case)
    figures = land(brought(whole), landing, whole)
    places = 5e-5 if "intervals" in str(case["expect"]) else 1e-12
    for name, expected in case["expect"].items():
        assert holds(figures[name], expected, places), figures[name]


TYPES = (
    "queued", "sent", "delivered", "deferred", "bounced", "rejected", "opened", "clicked", "complained", "unsubscribed",
    "claimed", "downloaded", "shared", "added_to_profile",
)  # fmt: skip
HISTORY = st.lists(
    st.tuples(
        st.sampled_from(["r1", "r2", "r3", "r4"]), st.sampled_from(TYPES), st.integers(0, 40), st.booleans(), st.booleans(),
        st.sampled_from(["hard", "soft", "block", None]), st.sampled_from(["x", "linkedin"]),
    ),
    max_size=16,
)  # fmt: skip
MAILED = st.lists(st.one_of(st.none(), st.integers(0, 40)), min_size=4, max_size=4)


def figures_of(history: list[Any], mailed: list[int | None]) -> dict[str, Any]:
    """Return a report's figures of four recipients with a history of their own."""
    begin = datetime(2026, 10, 25)
    registered = [
        {"recipient_id": f"r{n + 1}", "access_email_sent_at": None if day is None else begin + timedelta(days=day)}
        for n, day in enumerate(mailed)
    ]
    events = [
        {"recipient_id": who, "event_type": kind, "occurred_at": begin + timedelta(days=day, minutes=n),
         "is_machine": is_machine, "machine_reason": "method" if is_machine else None, "is_suppressed": is_suppressed,
         "load_date": begin.date() + timedelta(days=day), "bounce_class": bounce if kind == "bounced" else None,
         "channel": channel if kind == "shared" else None}
        for n, (who, kind, day, is_machine, is_suppressed, bounce, channel) in enumerate(history)
    ]  # fmt: skip
    case = {"given": {"recipients": registered, "events": events, "sources": {"mail": {"since": date(2026, 11, 1)}}}}
    with tempfile.TemporaryDirectory() as folder:
        table, landing = settings.Warehouse(url=f"duckdb:///{folder}/w.duckdb"), Landing(f"file://{folder}/landing")
        with warehouse.open(table, str, key_fingerprint="k") as opened:
            given.bring(opened, landing, case["given"])
            return land(opened, landing, case)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(history=HISTORY, mailed=MAILED)
def test_both_sums_close_and_every_count_can_be_recounted(history: list[Any], mailed: list[int | None]) -> None:
    """Whatever happened, the sums close, and recipients.csv alone gives every printed count by the method note."""
    figures = figures_of(history, mailed)
    for row in (figures["totals"], *figures["certificates"]):
        assert row["recipients_count"] == row["sent_count"] + row["not_sent_count"]
        assert row["sent_count"] == sum(
            row[f"{part}_count"] for part in ("delivered", "bounced", "rejected_after_sending", "waiting", "unknown")
        )
        assert 0 <= row["before_logs_count"] <= row["unknown_count"]
    (certificate,) = figures["certificates"]
    rows = list(csv.DictReader(io.StringIO(render.recipients_csv(figures).decode("utf-8-sig"))))
    assert recounted(rows) == {name: certificate[name] for name in recounted(rows)}
    for channel, count in certificate["shares"].items():
        assert sum(channel in row["channels"].split() for row in rows) == count
    for todo in figures["todos"]:
        assert sum(row["todo"] == todo["todo"] for row in rows) == todo["recipients_count"]


def recounted(rows: list[dict[str, str]]) -> dict[str, int]:
    """Recount a certificate from its rows of recipients.csv, by the filters of the report's method note."""
    logs_begin = datetime(2026, 11, 1, tzinfo=UTC)

    def is_early(row: dict[str, str]) -> bool:
        return row["sent_at"] != "" and datetime.fromisoformat(row["sent_at"]) < logs_begin

    filters: dict[str, Callable[[dict[str, str]], Any]] = {
        "recipients_count": lambda _: True,
        "claimed_count": lambda row: row["claimed_at"],
        "shared_or_downloaded_count": lambda row: row["shared_at"] or row["downloaded_at"],
        "added_to_linkedin_count": lambda row: row["added_to_profile_at"],
        "sent_count": lambda row: row["sent_at"],
        "not_sent_count": lambda row: not row["sent_at"],
        "delivered_count": lambda row: row["outcome"] == "delivered",
        "bounced_count": lambda row: row["outcome"] == "bounced",
        "bounced_hard_count": lambda row: row["outcome"] == "bounced" and row["bounce_class"] == "hard",
        "bounced_soft_count": lambda row: row["outcome"] == "bounced" and row["bounce_class"] == "soft",
        "bounced_block_count": lambda row: row["outcome"] == "bounced" and row["bounce_class"] == "block",
        "bounced_undetermined_count": lambda row: (
            row["outcome"] == "bounced" and row["bounce_class"] in ("", "undetermined")
        ),
        "rejected_count": lambda row: row["outcome"] == "rejected",
        "rejected_after_sending_count": lambda row: row["outcome"] == "rejected" and row["sent_at"],
        "waiting_count": lambda row: row["outcome"] == "waiting",
        "unknown_count": lambda row: row["outcome"] == "unknown",
        "before_logs_count": lambda row: row["outcome"] == "unknown" and is_early(row),
        "known_recipients_count": lambda row: not is_early(row),
        "known_claimed_count": lambda row: row["claimed_at"] and not is_early(row),
        "opened_count": lambda row: row["opened_at"],
        "machine_only_opened_count": lambda row: row["machine_opened_at"] and not row["opened_at"],
        "clicked_count": lambda row: row["clicked_at"],
        "machine_only_clicked_count": lambda row: row["machine_clicked_at"] and not row["clicked_at"],
        "complained_count": lambda row: row["complained_at"],
        "unsubscribed_count": lambda row: row["unsubscribed_at"],
        "opened_of_delivered_count": lambda row: row["outcome"] == "delivered" and row["opened_at"],
        "clicked_of_delivered_count": lambda row: row["outcome"] == "delivered" and row["clicked_at"],
    }
    return {name: sum(bool(counts(row)) for row in rows) for name, counts in filters.items()}


def test_landed_figures_are_all_that_a_report_needs(opened: Warehouse, landing: Landing) -> None:
    """Rendering never opens the warehouse."""
    case = yaml.safe_load((CASES / "figures.yaml").read_text())
    given.bring(opened, landing, case["given"])
    figures = land(opened, landing, case)
    assert {name: figures[name] for name in case["expect"]} == case["expect"]


def test_a_summary_holds_no_address_of_a_recipient(opened: Warehouse, landing: Landing) -> None:
    """Its counts and states are those of any report, but it names no address, also where a name or an id is one."""
    people = [
        {"recipient_id": "r1", "email": "ada@example.com", "name": "Ada"},
        {"recipient_id": "bob@example.com", "email": "bob@example.com", "name": "bob@example.com"},
    ]
    given.bring(opened, landing, {"recipients": people})
    case: dict[str, Any] = {"given": {}}
    usual, summary = (land(opened, landing, case | {"detail": detail}) for detail in ("recipients", "summary"))
    assert "ada@example.com" in json.dumps(usual["recipients"])
    assert "@" not in json.dumps(summary["recipients"])
    assert summary["subscription"]["detail"] == "summary"
    own = {"recipients", "subscription"}
    assert {name: part for name, part in summary.items() if name not in own} == {
        name: part for name, part in usual.items() if name not in own
    }
    assert sorted(row["name"] for row in summary["recipients"]) == ["", "Ada"]


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
        "timezone": "UTC", "locale": "de-CH", "is_paused": True, "detail": "summary",
    }  # fmt: skip
    given.bring(opened, landing, {"subscriptions": [row]})
    assert statistics.subscriptions(opened) == [row]
