"""Polars: scan the file with its streaming engine, and count."""

import sys

import polars as pl

columns = {"certificate_id": pl.String, "event": pl.String, "recipient_id": pl.String}
counted = (
    pl.scan_ndjson(sys.argv[1], schema=columns)
    .group_by("certificate_id", "event")
    .agg(pl.col("recipient_id").n_unique())
    .collect(engine="streaming")
)
print(counted.height, counted["recipient_id"].sum())
