"""Send each subscriber the report that is due, every hour and after each refresh of the figures. A run by hand makes the reports that its form names.

- `due` ─► `figures` ─► for each batch: `report`
- `due` ─► `nothing_is_late`

| red task | meaning | what to do |
|---|---|---|
| `due` | the configuration or the form is wrong, or the warehouse cannot be opened | correct what the last line of the log names; the same reports are due in the next hour |
| `figures` | the warehouse cannot be opened, or lacks the data of a report | clear the task; reports that were not sent stay due |
| `report` | **its log names each report that failed, and why**; the others are sent | nothing if the line says *for now*, because the next hour tries again; else do as the line says |
| `nothing_is_late` | a slice is missing for longer than the grace time and holds reports back; each slice is reported once | load it with `nightly_events`, or waive it with `python -m etl waive`; then the reports are sent without further action |

Any task may be cleared, any number of times: the ledger makes sure that a report is sent only once. A run makes what is due at the end of its interval.
If nothing is due, `figures` and `report` are skipped. The log of `due` warns of reports that are held back, of reports that may or may not have been sent, and of addresses that were refused for good.

**By hand**: without a period, a run makes what is due now. With a period, it renders the reports of that period, due or not, and mails them only if
the form says so: *test_to* to that address, *resend* to their subscribers, even again. The files are below `reports/` in the landing.

**Tasks stay grey?** The pool is missing: `airflow pools set warehouse 1 "tasks that open the warehouse"`

**Alerts** go to `[alerts] mail` of the configuration, once for each cause and once when it is over.
"""  # noqa: E501

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, dag, task

from dags.alerts import WATCHED
from dags.assets import REGISTRY, REPORTS, STATISTICS
from dags.context import (
    OWNER,
    TAGS,
    AirflowFailException,
    AirflowSkipException,
    AssetOrTimeSchedule,
    CronDataIntervalTimetable,
    opened_context,
)

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
"""Reports, each as the id of its subscription and the name of its period."""


def request_of(context: "Context", params: dict[str, Any]) -> "ReportRequest":
    """Read the form. Reports that are due are sent if mail is on; those of a named period only with *resend*."""
    from etl import pipeline

    form = {name: params[name] or None for name in ("subscription", "period", "test_to")}
    is_due = context.settings.mail.enabled and not form["period"] and not form["test_to"]
    return pipeline.ReportRequest(**form, send=is_due or params["resend"], resend=params["resend"])


def names_of(reports: "tuple[Report, ...] | list[Report]") -> Batch:
    """Return reports in the form that XCom carries."""
    return [[report.subscription["subscription_id"], report.period.name] for report in reports]


@task(pool="warehouse", **WATCHED)
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


@task(pool="warehouse", inlets=[STATISTICS, REGISTRY], **WATCHED)
def figures(wanted: Batch, now: str) -> list[Batch]:
    """Land the figures of the reports; list those that are still in the registry, in batches."""
    from etl import pipeline

    if not wanted:
        raise AirflowSkipException("no report is due")
    with opened_context() as context:
        reports = pipeline.planned_reports(context, [(name, period) for name, period in wanted])
        pipeline.land_figures(context, reports, datetime.fromisoformat(now).date())
    named = names_of(reports)
    return [named[first::BATCHES] for first in range(min(BATCHES, len(named)))]


@task(
    map_index_template="{{ task.op_kwargs.batch | map('join', ' ') | join(', ') }}",
    outlets=[REPORTS],
    doc_md="Render and send the reports of a batch, one after the other.",  # expand, unlike a call, takes no docstring
    **WATCHED,
)
def report(batch: Batch, params: Any = None, outlet_events: Any = None) -> None:
    """Render and send the reports of a batch, one after the other."""
    from etl import errors, pipeline

    reasons: list[str] = []

    def log_outcome(outcome: Any) -> None:
        if isinstance(outcome, errors.AnalyticsError):
            reasons.append(str(outcome))
        log.log(logging.ERROR if isinstance(outcome, errors.AnalyticsError) else logging.INFO, "%s", outcome)

    with opened_context() as context:
        reports = [pipeline.landed_report(context, name, period) for name, period in batch]
        failed = pipeline.make_reports(context, reports, request_of(context, params), None, log_outcome)
    if failed:
        raise AirflowFailException(f"{failed} of {len(batch)} reports failed: {'; '.join(reasons)}")
    outlet_events[REPORTS].extra = {"reports": len(batch)}


@task(pool="warehouse")
def nothing_is_late(now: str, ti: Any = None) -> None:
    """Fail once for each missing slice that holds reports back. Publish the state page, and mail what is new in it."""
    from etl import pipeline, status_page

    with opened_context() as context:
        missing = pipeline.newly_missing(context, datetime.fromisoformat(now))
        status_page.publish(context, datetime.now(UTC), ti.log_url)
    for each in missing:
        log.error("%s", each)
    if missing:
        raise AirflowFailException(f"reports are held back until these come, or are waived: {'; '.join(missing)}")


@dag(
    dag_display_name="Issuer reports",
    tags=[*TAGS, "reports"],
    schedule=AssetOrTimeSchedule(timetable=CronDataIntervalTimetable("0 * * * *", timezone="UTC"), assets=[STATISTICS]),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0, "owner": OWNER},
    params=FORM,
    doc_md=__doc__,
)
def issuer_reports() -> None:
    """Make and send the reports that are due."""
    wanted: Any = due(NOW)  # outside a task, a call gives an XComArg
    report.expand(batch=figures(wanted, NOW))
    wanted >> nothing_is_late(NOW)


issuer_reports()
