"""The DAGs: wiring, schedules and triage notes. The tasks call ``etl.pipeline``, which does the work."""
