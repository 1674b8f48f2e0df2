"""Remove what has reached its age from the landing, every day at 05:00 UTC: raw files, old versions, reports, scratch files.

| red task | meaning | what to do |
|---|---|---|
| `expire` | the configuration is wrong, or the landing cannot be reached | correct what the last line of the log names, and clear the task |

What the next nights or a rebuild need stays: the events' Parquet, raw files within the late days of their source, and raw
files of a slice of which nothing is loaded. Such slices are named in the log: load them, or waive them.
`[retention]` of the configuration sets the age of each kind in days.

**By hand**: with *dry_run* in the form nothing is removed, and the log says what would be. On the command line it is
`python -m etl retention --dry-run`.
"""  # noqa: E501

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, task

from dags.alerts import WATCHED
from dags.context import OWNER, TAGS, CronDataIntervalTimetable, opened_context

FORM = {
    "dry_run": Param(default=False, type="boolean", description="Remove nothing; the log says what would be removed.")
}


@task(pool="warehouse", show_return_value_in_logs=False, **WATCHED)
def expire(params: Any = None) -> None:
    """Remove what has reached its age. No load runs meanwhile, because they share a pool."""
    from etl import pipeline

    with opened_context() as context:
        pipeline.expire(context, datetime.now(UTC), dry_run=params["dry_run"])


@dag(
    dag_display_name="Data retention",
    tags=[*TAGS, "retention"],
    schedule=CronDataIntervalTimetable("0 5 * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0, "owner": OWNER},
    params=FORM,
    doc_md=__doc__,
)
def data_retention() -> None:
    """Remove what has reached its age."""
    expire()


data_retention()
