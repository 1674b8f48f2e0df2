"""dlt: load the file into DuckDB by its own pipeline, with Arrow batches, then count."""

import sys
import tempfile
from collections.abc import Iterator

import dlt
import pyarrow as pa
import pyarrow.json


@dlt.resource(name="events")
def events() -> Iterator[pa.Table]:
    """Yield the file in batches."""
    options = pyarrow.json.ReadOptions(block_size=64 << 20)
    parsed = pyarrow.json.ParseOptions(
        explicit_schema=pa.schema([(name, pa.string()) for name in ("certificate_id", "event", "recipient_id")]),
        unexpected_field_behavior="ignore",
    )
    yield from (pa.Table.from_batches([batch]) for batch in pyarrow.json.open_json(sys.argv[1], options, parsed))


with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline("peer", destination=dlt.destinations.duckdb(f"{folder}/dlt.duckdb"), pipelines_dir=folder)
    pipeline.run(events())
    with pipeline.sql_client() as client:
        [found] = client.execute_sql(
            "SELECT count(*), sum(n)::BIGINT FROM (SELECT count(DISTINCT recipient_id) AS n FROM events"
            " GROUP BY certificate_id, event)"
        )
print(*found)
