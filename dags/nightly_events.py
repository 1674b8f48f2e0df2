"""Load one UTC day of every source into the warehouse, at 02:00 UTC of the next day, and late records of earlier days.

- `slices` ─► for each slice: `extract` ─► `normalise` ─► `validate` ─► `load` ─► `statistics` ─► `night_is_whole`
- `registry` ─► `statistics`

**What to clear:** whatever is red, when its cause is mended: the red task, all failed ones, or the whole run. A cleared step of a slice that was
refused repeats the steps before it, beginning with `extract`. `statistics` runs after the last load, and then the run is green.

| red task | meaning | what to do |
|---|---|---|
| `slices` | the configuration or the form is wrong | correct what the last line of the log names |
| `registry` | it cannot be pulled, or lost over 10 % of its rows; the former one stays | correct it and clear the task; if the loss is right, run with *replace* |
| `extract` | the files did not come, or the provider returns nothing | do as the log says and clear the task, or waive the slice with `python -m etl waive` |
| `normalise` | a file cannot be decompressed | have it delivered again, then clear the task |
| `validate` | the events are not plausible, or too many records were rejected | look at the rows that the log names, correct the cause, then clear the task |
| `load` | the slice has under half of the records loaded before, or the warehouse cannot be opened | if the loss is right, run with *replace*; else clear the task |
| `statistics` | the warehouse cannot be opened; orange: a task before it is red | clear the task; if it is orange, clear the red ones |
| `night_is_whole` | **its log names every slice that is missing, and why**; the others are loaded, and the figures are those of what is loaded | clear the red tasks. A day that *no run has tried* was skipped: backfill it, then clear this task |

A run loads the day of its logical date, also if triggered by hand; *First day* in the form goes first. Without either, or with a logical date of today, it
loads the last day that is over. With *Last day* **one run loads many days**, a mapped task for each day and source, and *sources* limits it to some.
`slices` refuses days that go backwards, lie ahead or before `since`, over 400 of them, and unknown sources, before anything runs. Any task may be cleared any number of times: a slice is replaced whole or not at all.

**A slice that is only unusual**, in its volume, duplicates or events without a recipient, is loaded with a warning in the log of `load`.

**Tasks stay grey?** The pool that lets one task at a time into the warehouse is missing (with PostgreSQL it may have more slots):
`airflow pools set warehouse 1 "tasks that open the warehouse"`

**To run days again**, here all of November (runs are dated 02:00, so `--to-date` is the day *after* the last):

`airflow backfill create --dag-id nightly_events --from-date 2026-11-01 --to-date 2026-12-01 --reprocess-behavior completed`

A backfill skips a day whose run is in flight, which loads it itself; if it did not, the run after it is red and names the day.
Without `--reprocess-behavior completed` (or `failed`), days that were run before are skipped. `--dag-run-conf '{"from_landing": true}'` reads
the landing again and pulls nothing, `'{"replace": true}'` lets slices shrink, `--dry-run` lists the runs. After *database is locked*, run it again: SQLite was busy.

**Alerts** go to who is named under `[alerts]` of the configuration, once for each cause and once when it is over: red tasks, and slices that miss
`deadline_hours`, which `issuer_reports` looks for every hour. Give this DAG no `DeadlineAlert` on `DAGRUN_QUEUED_AT`: in Airflow 3.3.2 its runs cannot be cleared then.
"""  # noqa: E501

import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.sdk import Param, dag, task, task_group

from dags.alerts import WATCHED
from dags.assets import RAW_SLICES, REGISTRY, STATISTICS, WAREHOUSE_EVENTS
from dags.context import BACKOFF, OWNER, TAGS, AirflowFailException, CronDataIntervalTimetable, opened_context

if TYPE_CHECKING:
    from etl.pipeline import NightRequest

MOST_SLICES: int = conf.getint("core", "max_map_length")
NETWORK: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": BACKOFF,
}
BY_SLICE: dict[str, Any] = {"map_index_template": "{{ task.op_kwargs.source }} {{ task.op_kwargs.day }}"}
FORM = {
    "day": Param(
        None,
        type=["null", "string"],
        format="date",
        title="First day",
        description="UTC. Empty: the logical date's, if it is over.",
    ),
    "to": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Last day",
        description="UTC, at most 400 days on. Empty: the first day alone.",
    ),
    "sources": Param(
        None,
        type=["null", "array"],
        items={"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
        description="One name a line. Empty: every source.",
    ),
    "replace": Param(default=False, type="boolean", description="Let a slice, or the registry, shrink."),
    "from_landing": Param(default=False, type="boolean", description="Pull nothing; read again what was landed."),
}

log = logging.getLogger(__name__)

Slices = list[dict[str, str]]
"""Slices, each as its source and its day, in the form that XCom carries."""


def asked(dag_run: Any, params: Any) -> "NightRequest":
    """Return the days and sources that a run loads: those of the form, else the day of its logical date."""
    from etl import periods, pipeline

    wanted = periods.parse_day(params["day"]) if params["day"] else None
    if params["to"] and not wanted:
        raise AirflowFailException("a last day is named, but no first day; name both, or leave both out")
    day = pipeline.day_of_run(wanted, dag_run.logical_date, dag_run.run_after)
    return pipeline.night_request(day, params["to"], params["sources"])


@task(pool="warehouse", **WATCHED)
def slices(params: Any = None, dag_run: Any = None) -> Slices:
    """List the slices of each day and source, and earlier slices that may have more records by now. Refuse nonsense."""
    from etl import pipeline

    with opened_context() as context:
        request = asked(dag_run, params)
        if params["day"] or params["sources"]:
            request.check(context, datetime.now(UTC).date())
        wanted = pipeline.slices_to_bring(
            context, request.sources, request.first, request.last, from_landing=params["from_landing"]
        )
    if len(wanted) > MOST_SLICES:
        raise AirflowFailException(
            f"these are {len(wanted):,} slices, and Airflow runs at most {MOST_SLICES:,} at once; name fewer days or sources"
        )
    return [{"source": source, "day": str(each)} for source, each in wanted]


@task(pool="warehouse", show_return_value_in_logs=False, outlets=[REGISTRY], **NETWORK, **WATCHED)
def registry(params: Any = None, outlet_events: Any = None) -> None:
    """Pull the latest registry: issuers, certificates, recipients and subscriptions."""
    from etl import pipeline

    with opened_context() as context:
        pulled = pipeline.pull_registry(context, from_landing=params["from_landing"], replace=params["replace"])
    outlet_events[REGISTRY].extra = {"rows": pulled.counts.event, "left_out": pulled.counts.reject}


def how(params: Any) -> dict[str, bool]:
    """Return how a slice is extracted, as the form says."""
    return {"from_landing": params["from_landing"], "replace": params["replace"]}


@task(show_return_value_in_logs=False, outlets=[RAW_SLICES], **BY_SLICE, **NETWORK)
def extract(source: str, day: str, params: Any = None, outlet_events: Any = None) -> None:
    """Land the raw records of the slice."""
    from etl import pipeline

    with opened_context() as context:
        landed = pipeline.extract_slice(context, source, date.fromisoformat(day), **how(params))
    outlet_events[RAW_SLICES].extra = landed.facts()


@task(show_return_value_in_logs=False, inlets=[RAW_SLICES], **BY_SLICE)
def normalise(source: str, day: str, params: Any = None) -> None:
    """Turn the raw records of the slice into events."""
    from etl import pipeline

    with opened_context() as context:
        pipeline.normalise_slice(context, source, date.fromisoformat(day), **how(params))


@task(show_return_value_in_logs=False, **BY_SLICE)
def validate(source: str, day: str, params: Any = None) -> None:
    """Refuse the slice if its events are not plausible."""
    from etl import pipeline

    with opened_context() as context:
        pipeline.validate_slice(context, source, date.fromisoformat(day), **how(params))


@task(pool="warehouse", show_return_value_in_logs=False, outlets=[WAREHOUSE_EVENTS], **BY_SLICE)
def load(source: str, day: str, params: Any = None, outlet_events: Any = None) -> None:
    """Load the slice into the warehouse."""
    from etl import pipeline

    with opened_context() as context:
        now = datetime.now(UTC)
        loaded = pipeline.load_slice(context, source, date.fromisoformat(day), **how(params), now=now)
    outlet_events[WAREHOUSE_EVENTS].extra = loaded.facts(now)


@task(
    pool="warehouse", trigger_rule="none_failed", inlets=[WAREHOUSE_EVENTS, REGISTRY], outlets=[STATISTICS], **WATCHED
)
def statistics(wanted: Slices | None, outlet_events: Any = None) -> None:
    """Refresh the stored figures, and emit an asset event: rows by day and source, and how far the data reach."""
    from etl import pipeline

    with opened_context() as context:
        pipeline.refresh(context)
        outlet_events[STATISTICS].extra = pipeline.night_facts(context, slices_of(wanted), datetime.now(UTC))


@task(pool="warehouse", trigger_rule="all_done")
def night_is_whole(wanted: Slices | None, ti: Any = None, params: Any = None, dag_run: Any = None) -> None:
    """Fail if any task before it failed, or no run tried the days before. Name each slice that is missing and not waived.

    After a failure refresh the figures to what is loaded. Publish the state page, and tell what is new in it.
    """
    from etl import pipeline, status_page

    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
    missing = {name: "failed" for name in ("slices", "registry", "statistics") if states[name] == "failed"}
    loaded = [states.get(f"slice.load_{index}") == "success" for index in range(len(wanted or []))]
    with opened_context() as context:
        missing |= pipeline.not_loaded(context, zip(slices_of(wanted), loaded, strict=True))
        if states["slices"] == "success":
            request = asked(dag_run, params)
            for source, day in pipeline.never_tried(context, request.first):
                if source in (request.sources or (source,)) and not is_backfilled(ti, day):
                    missing[f"{source} {day}"] = "no run has tried it; run that day"
        if states["statistics"] == "upstream_failed":
            pipeline.refresh(context)
        status_page.publish(context, datetime.now(UTC), ti.log_url)
    for name, reason in missing.items():
        log.error("%s: %s", name, reason)
    if missing:
        raise AirflowFailException(f"the night is not whole: {', '.join(missing)}")


def is_backfilled(ti: Any, day: date) -> bool:
    """Tell whether a backfill has a run of that day that has not ended. It loads the day, or is red itself."""
    name = f"backfill__{day + timedelta(days=1)}T02:00:00+00:00"
    return bool(ti.get_dr_count(dag_id=ti.dag_id, run_ids=[name], states=["queued", "running"]))


def slices_of(wanted: Slices | None) -> list[tuple[str, date]]:
    """Read slices from XCom. There are none if the task that lists them failed."""
    return [(each["source"], date.fromisoformat(each["day"])) for each in wanted or []]


@task_group(group_id="slice")
def bring(source: str, day: str) -> None:
    """Load one slice, from its raw records into the warehouse."""
    which = {"source": source, "day": day}
    extract(**which) >> normalise(**which) >> validate(**which) >> load(**which)


@dag(
    dag_display_name="Nightly events",
    tags=[*TAGS, "events"],
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0, "owner": OWNER},
    params=FORM,
    doc_md=__doc__,
)
def nightly_events() -> None:
    """Load one UTC day into the warehouse."""
    wanted: Any = slices()  # outside a task, a call gives an XComArg
    brought, whole = [bring.expand_kwargs(wanted), registry()], night_is_whole(wanted)
    brought >> statistics(wanted) >> whole
    brought >> whole  # it waits for whatever was cleared, where `statistics` was not


nightly_events()
