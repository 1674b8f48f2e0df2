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

from airflow.sdk import Param, dag, task

from dags.context import AirflowFailException, AirflowSkipException, CronDataIntervalTimetable, opened_context

if TYPE_CHECKING:
    from etl.pipeline import Context, Report, ReportRequest

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


def request_of(context: "Context", params: dict[str, Any]) -> "ReportRequest":
    """Read the form. What is due is sent where mail is on; a named period only by *resend*."""
    from etl import pipeline

    form = {name: params[name] or None for name in ("subscription", "period", "test_to")}
    is_due = context.settings.mail.enabled and not form["period"] and not form["test_to"]
    return pipeline.ReportRequest(**form, send=is_due or params["resend"], resend=params["resend"])


def names_of(reports: "tuple[Report, ...] | list[Report]") -> Batch:
    """Write reports for XCom."""
    return [[report.subscription["subscription_id"], report.period.name] for report in reports]


@task(pool="warehouse")
def due(now: str, params: Any = None) -> Batch:
    """List the reports to make; record baselines and superseded periods."""
    from etl import pipeline

    with opened_context() as context:
        moment, request = datetime.fromisoformat(now), request_of(context, params)
        plan = pipeline.plan_reports(context, request, moment)
        pipeline.record_plan(context, plan, moment, send=request.send)
    for notice in plan.notices:
        log.warning("%s", notice)
    return names_of(plan.reports)


@task(pool="warehouse")
def figures(wanted: Batch, now: str) -> list[Batch]:
    """Land what the reports show; list those that are still in the registry, in batches."""
    from etl import pipeline

    if not wanted:
        raise AirflowSkipException("no report is due")
    with opened_context() as context:
        reports = pipeline.planned_reports(context, [(name, period) for name, period in wanted])
        pipeline.land_figures(context, reports, datetime.fromisoformat(now).date())
    named = names_of(reports)
    return [named[first::BATCHES] for first in range(min(BATCHES, len(named)))]


@task(map_index_template="{{ task.op_kwargs.batch | map('join', ' ') | join(', ') }}")
def report(batch: Batch, params: Any = None) -> None:
    """Render and send, one report after the other."""
    from etl import errors, pipeline

    def tell(outcome: Any) -> None:
        log.log(logging.ERROR if isinstance(outcome, errors.AnalyticsError) else logging.INFO, "%s", outcome)

    with opened_context() as context:
        reports = [pipeline.landed_report(context, name, period) for name, period in batch]
        failed = pipeline.make_reports(context, reports, request_of(context, params), None, tell)
    if failed:
        raise AirflowFailException(f"{failed} of {len(batch)} reports failed; see above")


@task(pool="warehouse")
def nothing_is_late(now: str) -> None:
    """Fail once for each missing slice that holds reports back."""
    from etl import pipeline

    with opened_context() as context:
        missing = pipeline.newly_missing(context, datetime.fromisoformat(now))
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
    """Make and send the reports that are due."""
    wanted: Any = due(NOW)  # outside a task, a call gives an XComArg
    report.expand(batch=figures(wanted, NOW))
    wanted >> nothing_is_late(NOW)


issuer_reports()
