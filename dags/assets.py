"""The assets: what the tasks leave and read. Airflow draws their lineage, and starts the reports after the figures.

| asset | left by | its event says |
|---|---|---|
| `certificate_registry` | `registry` | rows, rows left out |
| `raw_slices` | `extract` | source, day, files, bytes |
| `warehouse_events` | `load` | source, day, rows, share of rejects, hours from the day's end to the load |
| `certificate_statistics` | `statistics` | rows by day and source, whole through, hours since that day's end |
| `issuer_reports` | `report` | reports made |
"""

from airflow.sdk import Asset

GROUP = "certificate-analytics"

REGISTRY = Asset("certificate_registry", group=GROUP)
RAW_SLICES = Asset("raw_slices", group=GROUP)
WAREHOUSE_EVENTS = Asset("warehouse_events", group=GROUP)
STATISTICS = Asset("certificate_statistics", group=GROUP)
REPORTS = Asset("issuer_reports", group=GROUP)
