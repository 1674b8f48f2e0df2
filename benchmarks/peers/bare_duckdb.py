"""DuckDB alone: load the file into a table on disk, then count."""

import sys
import tempfile

import duckdb

with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/bare.duckdb") as connection:
    connection.read_json(sys.argv[1]).create("events")
    counted = connection.sql(
        "SELECT certificate_id, event, count(DISTINCT recipient_id) AS recipients FROM events GROUP BY ALL"
    )
    print(*connection.sql("SELECT count(*), sum(recipients)::BIGINT FROM counted").fetchone())
