"""The DAGs: wiring, schedules and triage notes. What a task does stands in ``etl.pipeline``."""
