"""Sends each subscriber the report that is due, every hour; or, by hand, makes the reports that the form asks for.

- `due` ─► `figures` ─► for each batch: `report`
- `due` ─► `nothing_is_late`

| red | means | do |
|---|---|---|
| `due` | the configuration or the form is wrong, or the warehouse is shut | mend what the last line of the log says; the next hour finds the same reports due |
| `figures` | the warehouse is shut, or lacks what a report is about | clear the task; what was not sent stays due |
| `report` | **its log names each report that failed, and why**; the others are sent | *for now*: nothing, the next hour tries again; else as the line says |
| `nothing_is_late` | a slice is missing for longer than the grace time and holds reports back; each slice is told once | bring it with `nightly_events`, or `python -m etl waive` it; then the reports go out by themselves |

Anything may be cleared, any number of times: the ledger lets a report leave once. What is due is asked for the end of the run's interval.
Where nothing is, `figures` and `report` are skipped. The log of `due` warns of reports that are held back, or of which nobody knows if they left.

**By hand**: without a period, what is due is made now. The reports of a period are rendered, due or not; *test_to* sends them there alone,
*resend* to their subscribers, even where they were sent before; nothing else is mailed. The files lie below `reports/` in the landing.

**Tasks stay grey?** The pool is missing: `airflow pools set warehouse 1 "tasks that open the warehouse"`

**To be told** of red or late runs, set an `on_failure_callback` or a `DeadlineAlert` in a cluster policy.
"""  # noqa: E501

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronDataIntervalTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from connections import enter

if TYPE_CHECKING:
    from etl.porch import House

BATCHES = 64
TEXT = ["null", "string"]
FORM = {
    "subscription": Param(None, type=TEXT, description="Its id. Empty: every subscription."),
    "period": Param(None, type=TEXT, description="2026-11, 2026-W47 or 2026-11-23. Empty: what is due."),
    "test_to": Param(None, type=TEXT, description="An address that alone gets the reports, as tests."),
    "resend": Param(default=False, type="boolean", description="Send the period to its subscribers, even again."),
}
NOW = "{{ (dag_run.data_interval_end or dag_run.run_after).isoformat() }}"

log = logging.getLogger(__name__)

Batch = list[list[str]]
"""Reports, each by the id of its subscription and the name of its period."""


def is_sending(house: "House", params: dict[str, Any]) -> bool:
    """Whether what is due goes out, as it does every hour."""
    return house.settings.mail.enabled and not params["period"] and not params["test_to"]


@task(pool="warehouse")
def due(now: str, params: Any = None) -> Batch:
    """Which reports to make; baselines and superseded periods are recorded."""
    from etl import errors, porch

    if params["resend"] and (params["test_to"] or not params["period"]):
        raise errors.ConfigurationError("resend goes with a period, and without test_to")
    house = enter()
    reports = porch.wanted_reports(
        house,
        datetime.fromisoformat(now),
        subscription=params["subscription"] or None,
        period=params["period"] or None,
        as_of=None,
        is_sending=is_sending(house, params),
        tell=log.warning,
    )
    return [[report.subscription["subscription_id"], report.period.name] for report in reports]


@task(pool="warehouse")
def figures(wanted: Batch, now: str) -> list[Batch]:
    """What the reports show, from the warehouse into the landing; in batches, those that are still in the registry."""
    from etl import porch

    if not wanted:
        raise AirflowSkipException("no report is due")
    house = enter()
    reports = porch.planned_reports(house, wanted)
    porch.land_figures(house, reports, datetime.fromisoformat(now).date())
    named = [[report.subscription["subscription_id"], report.period.name] for report in reports]
    return [named[first::BATCHES] for first in range(min(BATCHES, len(named)))]


@task(map_index_template="{{ task.op_kwargs.batch | map('join', ' ') | join(', ') }}")
def report(batch: Batch, params: Any = None) -> None:
    """Renders and sends, one report after the other."""
    from etl import errors, porch

    house, failed = enter(), 0
    for outcome in porch.make(
        house,
        [porch.landed_report(house, *names) for names in batch],
        None,
        send=is_sending(house, params) or params["resend"],
        test_to=params["test_to"] or None,
        resend=params["resend"],
    ):
        is_failure = isinstance(outcome, errors.AnalyticsError)
        log.log(logging.ERROR if is_failure else logging.INFO, "%s", outcome)
        failed += is_failure
    if failed:
        raise AirflowFailException(f"{failed} of {len(batch)} reports failed; see above")


@task(pool="warehouse")
def nothing_is_late(now: str) -> None:
    """Fails once for each missing slice that holds reports back."""
    from etl import porch

    missing = porch.newly_missing(enter(), datetime.fromisoformat(now))
    for each in missing:
        log.error("%s", each)
    if missing:
        raise AirflowFailException("reports are held back until the slices above come, or are waived")


@dag(
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0},
    params=FORM,
    doc_md=__doc__,
)
def issuer_reports() -> None:
    """Makes and sends the reports that are due."""
    wanted = due(NOW)
    report.expand(batch=figures(wanted, NOW))
    wanted >> nothing_is_late(NOW)


issuer_reports()
