"""Brings one UTC day of every source into the warehouse, at 02:00 UTC of the day after, and what came late for the days before.

- `slices` ─► for each slice: `extract` ─► `normalise` ─► `validate` ─► `load` ─► `statistics` ─► `night_is_whole`
- `registry` ─► `statistics`

| red | means | do |
|---|---|---|
| `slices` | the configuration is wrong | mend what the last line of the log names |
| `registry` | it cannot be pulled, or lost over 10 % of its rows; the former one stays | mend it, clear the task; if the loss is right, run with *replace* |
| `extract` | the files did not come, or the provider gives nothing | do as the log says and clear the task, or `python -m etl waive` the slice |
| `normalise` | a file cannot be decompressed | have it delivered again, clear `extract` |
| `validate` | the events are not plausible, or too many records were rejected | look at the rows that the log names, clear `extract` |
| `load` | under half of the records loaded before, or the warehouse is shut | if the loss is right, run with *replace*; else clear the task |
| `statistics` | the warehouse is shut | clear the task |
| `night_is_whole` | **its log names every slice that is missing, and why**; the others are loaded | clear what is red before it; what follows runs again |

A day's run has that day as its logical date. Anything may be cleared, in any order, any number of times: a slice is replaced whole or not at all.

**What is merely odd**, in volume, duplicates or events of no recipient, is a warning in the log of `load`.

**Tasks stay grey?** The pool that lets one task at a time into the warehouse is missing (PostgreSQL bears more than one):
`airflow pools set warehouse 1 "tasks that open the warehouse"`

**Days again**, here all of November; runs are dated 02:00, so `--to-date` is the day *after* the last:

`airflow backfill create --dag-id nightly_events --from-date 2026-11-01 --to-date 2026-12-01 --reprocess-behavior completed --max-active-runs 1`

Without `--reprocess-behavior completed` (or `failed`) days that were run before are left alone. `--dag-run-conf '{"from_landing": true}'`
pulls nothing, `'{"replace": true}'` lets slices shrink, `--dry-run` lists the runs. *Database is locked*: SQLite was busy; give it again.

**To be told** of red or late runs, set an `on_failure_callback` or a `DeadlineAlert` in a cluster policy.
"""  # noqa: E501

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, CronDataIntervalTimetable, Param, dag, task, task_group
from airflow.sdk.exceptions import AirflowFailException
from connections import enter

NETWORK = {"retries": 3, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": 2.0}
BY_SLICE = {"map_index_template": "{{ task.op_kwargs.source }} {{ task.op_kwargs.day }}"}
WAREHOUSE_EVENTS = Asset("warehouse_events")
# A run by hand may have no interval: then the day with which its interval would begin.
DAY = "{{ params.day or (dag_run.data_interval_start or dag_run.run_after - macros.timedelta(hours=26)).date() }}"
FORM = {
    "day": Param(None, type=["null", "string"], format="date", description="UTC. Empty: the last that is over."),
    "replace": Param(default=False, type="boolean", description="Let a slice, or the registry, shrink."),
    "from_landing": Param(default=False, type="boolean", description="Pull nothing; read again what was landed."),
}

log = logging.getLogger(__name__)


@contextmanager
def slice_of(source: str, day: str) -> Iterator[tuple[Any, ...]]:
    """The porch, and a slice as its steps take it; the warehouse keeps why a step failed."""
    from etl import errors, porch

    house, slice_day = enter(), date.fromisoformat(day)
    try:
        yield porch, house, source, slice_day
    except Exception as error:
        said = (
            str(error)
            if isinstance(error, errors.AnalyticsError)
            else f"{type(error).__name__}; see the red task's log"
        )
        failure = error if isinstance(error, errors.SliceError) else errors.SliceError(source, slice_day, said)
        try:
            porch.record_failure(house, failure)
        except errors.AnalyticsError as trouble:  # the task's own failure is what must be seen
            log.warning("%s %s: the reason could not be kept: %s", source, day, trouble)
        if isinstance(error, errors.NoFiles | errors.ExpiredSlice | errors.RefusedKey):  # asking again changes nothing
            raise AirflowFailException(str(error)) from error
        raise


@task(pool="warehouse")
def slices(day: str, params: Any = None) -> list[dict[str, str]]:
    """Each source that covers the day, and the slices of the days before that may have more by now."""
    from etl import porch

    the_day, from_landing = date.fromisoformat(day), params["from_landing"]
    wanted = porch.slices_to_bring(enter(), None, the_day, the_day, from_landing=from_landing)
    return [{"source": source, "day": str(each)} for source, each in wanted]


@task(pool="warehouse", **NETWORK)
def registry(params: Any = None) -> None:
    """Who issued what to whom, as it is now."""
    from etl import porch

    kept = porch.pull_registry(enter(), from_landing=params["from_landing"], replace=params["replace"]).counts
    log.info("%d rows, %d left out", kept.event, kept.reject)


@task(**BY_SLICE, **NETWORK)
def extract(source: str, day: str, params: Any = None) -> None:
    """The raw records into the landing."""
    with slice_of(source, day) as (porch, *which):
        porch.extract_slice(*which, from_landing=params["from_landing"], replace=params["replace"])


@task(**BY_SLICE)
def normalise(source: str, day: str) -> None:
    """Raw records into events."""
    with slice_of(source, day) as (porch, *which):
        porch.normalise_slice(*which)


@task(**BY_SLICE)
def validate(source: str, day: str) -> None:
    """Implausible events stay out."""
    with slice_of(source, day) as (porch, *which):
        porch.validate_slice(*which)


@task(pool="warehouse", **BY_SLICE)
def load(source: str, day: str, params: Any = None) -> None:
    """The slice into the warehouse."""
    with slice_of(source, day) as (porch, *which):
        counts, oddities = porch.load_slice(*which, replace=params["replace"], now=datetime.now(UTC))
        log.info("%s", counts)
        for oddity in oddities:
            log.warning("%s %s: %s", source, day, oddity)


@task(pool="warehouse", trigger_rule="all_done", outlets=[WAREHOUSE_EVENTS])
def statistics(wanted: list[dict[str, str]] | None, outlet_events: Any = None) -> None:
    """The stored figures, and an asset event with the rows of each day and source."""
    from etl import porch

    house = enter()
    porch.refresh(house)
    counts: dict[str, dict[str, int]] = {}
    for each, row in rows_of(house, wanted or []):
        counts.setdefault(each["day"], {})[each["source"]] = row.get("event_count", 0)
    outlet_events[WAREHOUSE_EVENTS].extra = counts


@task(pool="warehouse", trigger_rule="all_done")
def night_is_whole(wanted: list[dict[str, str]] | None, ti: Any = None) -> None:
    """Fails where anything before it did, and names each slice that is missing; a waived one is not missed."""
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
    missing = {name: "failed" for name in ("slices", "registry", "statistics") if states[name] != "success"}
    for index, (each, row) in enumerate(rows_of(enter(), wanted or [])):
        if states.get(f"slice.load_{index}") != "success" and row.get("status") != "waived":
            missing[f"{each['source']} {each['day']}"] = row.get("last_error") or "see its red task"
    for name, reason in missing.items():
        log.error("%s: %s", name, reason)
    if missing:
        raise AirflowFailException(f"the night is not whole: {', '.join(missing)}")


def rows_of(house: Any, wanted: list[dict[str, str]]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Each slice with what the warehouse knows of it."""
    from etl import porch

    days = [date.fromisoformat(each["day"]) for each in wanted]
    held = porch.held_slices(house, min(days), max(days)) if days else {}
    for each, day in zip(wanted, days, strict=True):
        yield each, held.get((each["source"], day), {})


@task_group(group_id="slice")
def bring(source: str, day: str) -> None:
    """One slice, from its raw records into the warehouse."""
    which = {"source": source, "day": day}
    extract(**which) >> normalise(**which) >> validate(**which) >> load(**which)


@dag(
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0},
    params=FORM,
    doc_md=__doc__,
)
def nightly_events() -> None:
    """Brings one UTC day into the warehouse."""
    wanted = slices(DAY)
    [bring.expand_kwargs(wanted), registry()] >> statistics(wanted) >> night_is_whole(wanted)


nightly_events()
