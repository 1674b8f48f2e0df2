"""The pipeline that the command line and the DAGs share: context, steps of a night, steps of a report, and all policies.

An entry point decides only when a step runs and how its result is printed. This package decides, once for both, what a
step does, and what is retried, recorded, refused or mailed.
"""

from etl.normalise import FORMATS, explain
from etl.pipeline.alerts import alert, alert_green, alert_red
from etl.pipeline.checks import findings
from etl.pipeline.context import Context, open_context, start_process
from etl.pipeline.failures import cure_of, is_defect, is_expected, is_final
from etl.pipeline.listings import list_catalogue, list_recipients, list_slices
from etl.pipeline.night_request import NightRequest, night_request
from etl.pipeline.nights import (
    SliceResult,
    bring,
    day_of_run,
    days,
    extract_slice,
    load_slice,
    never_tried,
    night_facts,
    normalise_slice,
    not_loaded,
    pull_registry,
    refresh,
    slices_to_bring,
    validate_slice,
)
from etl.pipeline.rebuilds import Rebuilt, rebuild, slices_to_rebuild
from etl.pipeline.reports import (
    Plan,
    Report,
    ReportRequest,
    land_figures,
    landed_report,
    make_reports,
    newly_missing,
    plan_reports,
    planned_reports,
    record_plan,
    unsubscribe,
)
from etl.pipeline.retention import Retention, described, expire
from etl.pipeline.status import Status, keep_status_page, nights_status, read_status_page
from etl.pipeline.waivers import list_waivers, undo_waiver, waive

__all__ = [
    "FORMATS",
    "Context",
    "NightRequest",
    "Plan",
    "Rebuilt",
    "Report",
    "ReportRequest",
    "Retention",
    "SliceResult",
    "Status",
    "alert",
    "alert_green",
    "alert_red",
    "bring",
    "cure_of",
    "day_of_run",
    "days",
    "described",
    "expire",
    "explain",
    "extract_slice",
    "findings",
    "is_defect",
    "is_expected",
    "is_final",
    "keep_status_page",
    "land_figures",
    "landed_report",
    "list_catalogue",
    "list_recipients",
    "list_slices",
    "list_waivers",
    "load_slice",
    "make_reports",
    "never_tried",
    "newly_missing",
    "night_facts",
    "night_request",
    "nights_status",
    "normalise_slice",
    "not_loaded",
    "open_context",
    "plan_reports",
    "planned_reports",
    "pull_registry",
    "read_status_page",
    "rebuild",
    "record_plan",
    "refresh",
    "slices_to_bring",
    "slices_to_rebuild",
    "start_process",
    "undo_waiver",
    "unsubscribe",
    "validate_slice",
    "waive",
]
