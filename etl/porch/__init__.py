"""What the command line and the DAGs share: the places that the configuration names, and the steps between two stages.

The porches decide when, and how to say what happened; here stands what is done, once.
"""

from etl.porch.checks import findings
from etl.porch.house import House, enter
from etl.porch.nights import (
    bring,
    days,
    extract_slice,
    held_slices,
    load_slice,
    normalise_slice,
    pull_registry,
    record_failure,
    refresh,
    slices_to_bring,
    validate_slice,
)
from etl.porch.reports import (
    Report,
    land_figures,
    landed_report,
    make,
    named_reports,
    newly_missing,
    planned_reports,
    unsubscribe,
    wanted_reports,
)

__all__ = [
    "House",
    "Report",
    "bring",
    "days",
    "enter",
    "extract_slice",
    "findings",
    "held_slices",
    "land_figures",
    "landed_report",
    "load_slice",
    "make",
    "named_reports",
    "newly_missing",
    "normalise_slice",
    "planned_reports",
    "pull_registry",
    "record_failure",
    "refresh",
    "slices_to_bring",
    "unsubscribe",
    "validate_slice",
    "wanted_reports",
]
