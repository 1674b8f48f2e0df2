"""The stage validate: check a slice's events with Great Expectations. A slice that fails is not loaded.

The suite checks what every query over the events relies on, and that few enough records are rejects. A slice that is
only unusual (in duplicates or volume) passes. DuckDB evaluates the expectations over the landed Parquet, in place.
Great Expectations takes seconds to import, so a process imports it with its first slice that has events.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, datetime, time, timedelta
from html import escape
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import event
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy

from etl import scratch, settings, sql
from etl.errors import NotLanded, RefusedSlice, SliceError
from etl.landing import Counts, Landing, Manifest, slice_prefix

PAGE = "validation.html"
"""The file name of the Data Docs page, in the folder of the validated version."""

_MEMORY_LIMIT = "1GB"
"""What DuckDB may take for the expectations of a slice. Those of 20 million events took 2 GB; beyond the limit it spills."""

EARLIEST = date(2010, 1, 1)
NEVER_NULL = (
    "event_key",
    "identity_key",
    "event_type",
    "occurred_at",
    "is_machine",
    "is_suppressed",
    "is_opt_out_link",
)
VOCABULARIES = {
    "event_type": (
        "queued", "sent", "deferred", "delivered", "bounced", "rejected", "failed", "opened", "clicked", "complained",
        "unsubscribed", "subscribed", "autoresponded", "unknown", "viewed", "claimed", "downloaded", "shared",
        "added_to_profile", "verified",
    ),
    "bounce_class": ("hard", "soft", "block", "undetermined"),
    "machine_reason": ("provider_flag", "proxy_ua", "scanner_ua", "crawler_ua", "method"),
}  # fmt: skip

_QUERY_ONLY = {
    "result_format": "BASIC",
    "return_unexpected_index_query": True,
    "unexpected_index_column_names": ["event_key", "event_type", "occurred_at", "recipient_id", "message_id"],
}
_STYLE = """<style>
body {font: 15px/1.5 sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem}
h5, h6 {font-size: 1rem; margin: 1.5rem 0 .5rem} pre {white-space: pre-wrap}
table {border-collapse: collapse; width: 100%}
td, th {border: 1px solid #bbb; padding: .3rem .6rem; text-align: left; vertical-align: top}
.badge {background: #eee; padding: 0 .3rem}
.fa-check-circle::before {content: "\\2713"; color: #18794e}
.fa-times::before, .fa-exclamation-triangle::before {content: "\\2717"; color: #c62a2f}
</style></head>"""


def validate_slice(landing: Landing, limits: settings.Validation, source: str, day: date) -> Manifest:
    """Check a slice's normalised version, write its Data Docs page, and publish the version as valid.

    A version without raw files is valid without a check. Raise NotLanded if there is no version, SliceError if it is
    not normalised, and RefusedSlice if it fails the suite.
    """
    manifest = _normalised(landing, source, day)
    if manifest.raw:
        _require_valid(landing, limits, manifest, source, day)
    return _published(landing, manifest)


def validate_slices(landing: Landing, limits: settings.Validation, slices: Sequence[tuple[str, date]]) -> None:
    """Check many slices at once, write one page beside each, and publish all as valid.

    Publish none where any could fail ``validate_slice``, and raise a SliceError. The expectations here are at least as
    strict as those of each slice.
    """
    manifests = {(source, day): _normalised(landing, source, day) for source, day in slices}
    checked = {each: manifest for each, manifest in manifests.items() if manifest.raw}
    if checked:
        _require_all_valid(landing, limits, checked)
    for manifest in manifests.values():
        _published(landing, manifest)


def _normalised(landing: Landing, source: str, day: date) -> Manifest:
    """Return the newest landed version of a slice, with its events if it has any raw files."""
    manifest = landing.newest(slice_prefix(source, day))
    if manifest is None:
        raise NotLanded(source, day)
    if manifest.raw and manifest.events is None:
        raise SliceError(source, day, "the version landed last is not normalised; run the day again")
    return manifest


def _published(landing: Landing, manifest: Manifest) -> Manifest:
    valid = manifest.model_copy(update={"status": "valid", "reason": None})
    landing.publish(valid)
    return valid


def _require_all_valid(
    landing: Landing, limits: settings.Validation, checked: Mapping[tuple[str, date], Manifest]
) -> None:
    names = sorted(f"{source} {day}" for source, day in checked)
    heading = f"{len(names)} slices at once, {names[0]} to {names[-1]}"
    for (source, day), manifest in checked.items():
        minimum = _events_minimum(limits, manifest.counts)
        if minimum is not None and manifest.counts.event < minimum:
            raise SliceError(source, day, "it has too many rejects")
    with ExitStack() as stack:
        files = [
            stack.enter_context(landing.local(landing.path(manifest.prefix, str(manifest.events))))
            for manifest in checked.values()
        ]
        expectations = _common_expectations(limits, [one.counts for one in checked.values()])
        results = _run(heading, expectations, files, "*, load_date + INTERVAL 2 DAY AS time_limit")
    if not results.success:
        source, day = next(iter(checked))
        raise SliceError(source, day, f"of {heading}, at least one may not be valid")
    page = _page(results, {}).encode()
    for manifest in checked.values():
        _keep_page(landing, manifest, page)


def _keep_page(landing: Landing, manifest: Manifest, page: bytes) -> None:
    version = str(manifest.events).split("/", 1)[0]
    landing.write(landing.path(manifest.prefix, version, PAGE), page)


def _require_valid(landing: Landing, limits: settings.Validation, manifest: Manifest, source: str, day: date) -> None:
    with landing.local(landing.path(manifest.prefix, str(manifest.events))) as parquet:
        results = _run(f"{source} {day}", _expectations(limits, manifest.counts, day), [parquet])
    failures = {
        _sentence(result, manifest.counts): _query(result, landing, manifest)
        for result in results.results
        if not result.success
    }
    _keep_page(landing, manifest, _page(results, failures).encode())
    if failures:
        raise RefusedSlice(source, day, list(failures), "; ".join(dict.fromkeys(failures.values())))


def _great_expectations() -> Any:
    """Import the library on first use, and let it log only warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pyspark about pandas, where pyspark is installed: nothing of ours uses it
        import great_expectations  # noqa: PLC0415  (it takes seconds, which only a process that validates should spend)

    logging.getLogger(great_expectations.__name__).setLevel(logging.WARNING)
    return great_expectations


def _expectations(limits: settings.Validation, counts: Counts, day: date) -> list[Any]:
    """Return the expectations of a slice. The ``meta`` of each has the words for its failure."""
    gxe = _great_expectations().expectations
    before = datetime.combine(day + timedelta(days=2), time())
    return [
        *_few_rejects(limits, counts),
        *_words(),
        gxe.ExpectColumnValuesToBeUnique(column="event_key", meta={"failure": "event_key repeated"}),
        _few_unknown(limits.unknown_rate_maximum),
        *_explained_machines(),
        gxe.ExpectColumnValuesToBeBetween(
            column="occurred_at",
            min_value=datetime.combine(EARLIEST, time()),
            max_value=before,
            strict_max=True,
            meta={"failure": f"occurred_at before {EARLIEST:%Y-%m-%d} or from {before:%Y-%m-%d} on"},
        ),
    ]


def _common_expectations(limits: settings.Validation, counts: Sequence[Counts]) -> list[Any]:
    """Return expectations over the events of many slices. Where they are met, each slice meets its own.

    There are as many events as were normalised, and all unknown ones together are few enough for the smallest slice.
    """
    gxe = _great_expectations().expectations
    events = [each.event for each in counts if each.event]
    unknown = limits.unknown_rate_maximum * min(events, default=0) / max(1, sum(events))
    earliest = datetime.combine(EARLIEST, time())
    return [
        gxe.ExpectTableRowCountToEqual(value=sum(events)),
        *_words(),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["source", "load_date", "event_key"]),
        _few_unknown(unknown),
        *_explained_machines(),
        gxe.ExpectColumnValuesToBeBetween(column="occurred_at", min_value=earliest),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="time_limit", column_B="occurred_at"),
    ]


def _words() -> Iterator[Any]:
    """Expect a value where no query does without one, and only the words of each vocabulary."""
    gxe = _great_expectations().expectations
    for column in NEVER_NULL:
        yield gxe.ExpectColumnValuesToNotBeNull(column=column, meta={"failure": f"{column} missing"})
    for column, words in VOCABULARIES.items():
        failure = {"failure": f"{column} outside the vocabulary"}
        yield gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(words), meta=failure)


def _few_unknown(maximum: float) -> Any:
    return _great_expectations().expectations.ExpectColumnValuesToNotBeInSet(
        column="event_type",
        value_set=["unknown"],
        mostly=round(1 - maximum, 9),
        meta={"failure": "event_type unknown", "maximum": maximum},
    )


def _few_rejects(limits: settings.Validation, counts: Counts) -> Iterator[Any]:
    """Limit the rejects, by a minimum of events.

    The suite sees only the events. Every raw record is an event, a reject, a duplicate or ignored, so the minimum
    follows from the maximum of rejects.
    """
    minimum = _events_minimum(limits, counts)
    if minimum is not None:
        maximum = _reject_rate_maximum(limits, counts)
        yield _great_expectations().expectations.ExpectTableRowCountToBeBetween(
            min_value=minimum, meta={"failure": "rejects", "maximum": maximum, "rows": "rejects"}
        )


def _events_minimum(limits: settings.Validation, counts: Counts) -> int | None:
    """Return how many events a slice has at least if it has few enough rejects; None where it may have any number."""
    maximum = _reject_rate_maximum(limits, counts)
    return None if maximum is None else max(0, _understood(counts) - int(round(maximum * counts.raw, 6)))


def _reject_rate_maximum(limits: settings.Validation, counts: Counts) -> float | None:
    """Return the largest share of rejects that a slice of this size may have, or None where it may have any.

    A few records say little, so a slice of few may have more rejects, and one of very few any number. A slice of which
    nothing was understood is limited all the same, however small: it would pass for a day on which nothing happened.
    """
    if counts.raw >= limits.reject_rate_minimum_count:
        return limits.reject_rate_maximum
    is_all_rejects = counts.reject == counts.raw > 0
    if counts.raw >= limits.small_reject_rate_minimum_count or is_all_rejects:
        return limits.small_reject_rate_maximum
    return None


def _understood(counts: Counts) -> int:
    """Return the number of events if nothing is rejected."""
    return counts.raw - counts.duplicate - counts.ignored


def _explained_machines() -> Iterator[Any]:
    """Expect a reason for every event of a machine, and none for an event of a person."""
    gxe = _great_expectations().expectations
    is_machine = gxe.row_conditions.Column("is_machine")
    rows = {"rows": "unexplained_machines"}
    yield gxe.ExpectColumnValuesToNotBeNull(
        column="machine_reason",
        row_condition=is_machine == True,  # noqa: E712  (becomes SQL)
        meta={"failure": "is_machine without machine_reason", **rows},
    )
    yield gxe.ExpectColumnValuesToBeNull(
        column="machine_reason",
        row_condition=is_machine == False,  # noqa: E712  (becomes SQL)
        meta={"failure": "machine_reason without is_machine", **rows},
    )


def _run(name: str, expectations: list[Any], parquet: Sequence[Path], columns: str = "*") -> Any:
    """Check those columns of the Parquet of one or more slices, and return the results of Great Expectations."""
    gx = _great_expectations()
    with scratch.folder() as folder:
        database = folder / "slice.duckdb"
        with duckdb.connect(str(database)) as connection:
            events = connection.read_parquet([_files(str(path)) for path in parquet])
            events.project(columns).create_view("events")
        context = gx.get_context(mode="ephemeral", project_config=_silent(gx.data_context.types.base))
        datasource = context.data_sources.add_sql(
            "slice", connection_string=f"duckdb:///{database}?memory_limit={_MEMORY_LIMIT}"
        )
        event.listen(datasource.get_execution_engine().engine, "after_cursor_execute", _fetch_at_once)
        try:
            events = datasource.add_table_asset("events", table_name="events")
            batch = events.add_batch_definition_whole_table("slice").get_batch()
            return batch.validate(gx.ExpectationSuite(name, expectations=expectations), result_format=_QUERY_ONLY)
        finally:
            datasource.get_execution_engine().close()


def _silent(base: Any) -> Any:
    """Return a configuration without usage statistics, progress bars or a folder for a site."""
    return base.DataContextConfig(
        store_backend_defaults=base.InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars={"globally": False},
    )


def _fetch_at_once(_connection: Any, cursor: Any, _statement: Any, _parameters: Any, context: Any, _many: Any) -> None:
    """Fetch all rows of a statement at once.

    Great Expectations closes a connection before it fetches, and DuckDB's rollback drops what was not fetched.
    """
    if cursor.description:
        context.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(cursor, initial_buffer=cursor.fetchall())


def _sentence(result: Any, counts: Counts) -> str:
    """Return what failed and how often: a count of the total, or for a limited share its percentage and the limit."""
    meta, found = result.expectation_config.meta, result.result
    if "observed_value" in found:
        share, whole = (_understood(counts) - found["observed_value"]) / counts.raw, f"{counts.raw:,} raw records"
    elif "unexpected_count" in found:
        share, whole = found["unexpected_count"] / found["element_count"], f"{found['element_count']:,} events"
    else:
        raise AssertionError(f"{meta['failure']} could not be evaluated: {result.exception_info}")
    if "maximum" in meta:
        return f"{meta['failure']}: {100 * share:.6g} % of {whole}, at most {100 * meta['maximum']:.6g} %"
    return f"{meta['failure']}: {found['unexpected_count']:,} of {counts.event:,} events"


def _query(result: Any, landing: Landing, manifest: Manifest) -> str:
    """Return one line of SQL for DuckDB that shows the failing rows.

    It is the named SELECT of ``sql/validate`` if there is one, else the query that Great Expectations writes.
    """
    rows = result.expectation_config.meta.get("rows")
    query = sql.read("validate", rows).text if rows else result.result["unexpected_index_query"]
    query = " ".join(query.split()).rstrip(" ;")
    for table, file in (("events", manifest.events), ("rejects", manifest.rejects)):
        place = landing.shown(_files(landing.path(manifest.prefix, str(file)))).replace("'", "''")
        query = query.replace(f"FROM {table}", f"FROM read_parquet('{place}')")
    return query


def _files(path: str) -> str:
    """Return a Parquet file's path as it is, and a folder's path as a pattern for all its files."""
    return path if path.endswith(".parquet") else f"{path}/*.parquet"


def _page(results: Any, failures: dict[str, str]) -> str:
    """Return the Data Docs page as one file that needs no network, with the failures first."""
    render = _great_expectations().render
    for found in (result.result for result in results.results):
        found.pop("unexpected_index_query", None)  # it names a view that is gone; the failures list their own queries
        values = found.get("partial_unexpected_list", ())  # the page would read them as HTML
        found["partial_unexpected_list"] = [escape(str(value)) for value in values]
    page = render.view.DefaultJinjaPageView().render(
        render.renderer.ValidationResultsPageRenderer().render(results), template="page_minimal.j2"
    )
    page = re.sub(r"(?s)<script.*?</script>|<link [^>]*>|</?a\b[^>]*>|url\([^)]*\)", "", page)
    listed = "".join(f"<li>{escape(sentence)}<pre>{escape(query)}</pre></li>" for sentence, query in failures.items())
    heading = f"<h1>{escape(results.suite_name)}: {'refused' if failures else 'valid'}</h1><ul>{listed}</ul>"
    return re.sub(r"<body>", lambda _: f"<body>{heading}", page.replace("</head>", _STYLE, 1), count=1)
