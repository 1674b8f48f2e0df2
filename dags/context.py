"""The pipeline's context for tasks. It turns the pipeline's final errors into failures of Airflow."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from airflow.configuration import conf
from airflow.sdk import Connection

from dags.notifier import notify

if TYPE_CHECKING:
    from airflow.sdk import AssetOrTimeSchedule, CronDataIntervalTimetable
    from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException

    from etl.pipeline import Context

BACKOFF: float = 2.0
"""The multiplier between two retries."""

if not TYPE_CHECKING:
    try:
        from airflow.sdk import AssetOrTimeSchedule, CronDataIntervalTimetable
        from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException
    except ImportError:  # Airflow 3.1
        from airflow.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException
        from airflow.timetables.assets import AssetOrTimeSchedule
        from airflow.timetables.interval import CronDataIntervalTimetable

        BACKOFF = True  # Airflow 3.1 has only a switch

TAGS = ["certificate-analytics"]
"""The tag that finds the DAGs of this project among others."""

_CONFIGURED_OWNER = conf.get_mandatory_value("operators", "default_owner")
OWNER = "data-engineering" if _CONFIGURED_OWNER == "airflow" else _CONFIGURED_OWNER
"""The owner that Airflow shows: ``default_owner`` of ``[operators]`` in its configuration, where that names somebody."""

__all__ = [
    "BACKOFF",
    "OWNER",
    "TAGS",
    "AirflowFailException",
    "AirflowSkipException",
    "AssetOrTimeSchedule",
    "CronDataIntervalTimetable",
    "opened_context",
]


@contextmanager
def opened_context() -> Iterator["Context"]:
    """Read the configuration and open the state. Call this only within a task.

    If the block raises an error that a retry cannot change, the task fails at once, whatever its retries. The reason is
    the last line of the log that is an error.
    """
    from etl import pipeline

    pipeline.start_process()
    processors = structlog.get_config()["processors"]
    if _reason_only not in processors:
        processors.insert(0, _reason_only)
    try:
        yield pipeline.open_context(_password, notify)
    except Exception as error:
        if pipeline.is_final(error):
            raise AirflowFailException(str(error)) from (None if pipeline.is_expected(error) else error)
        raise


def _reason_only(_logger: Any, _method: str, event: Any) -> Any:
    """Make Airflow log an expected failure as its reason only, without the frames of the stack: they help nobody."""
    from etl import pipeline

    error = sys.exc_info()[1]
    is_expected = pipeline.is_expected(error) or (isinstance(error, AirflowFailException) and error.__cause__ is None)
    if is_expected and event.pop("exc_info", None):
        event["event"] = str(error)
    return event


def _password(secret: str) -> str | None:
    """Return the password of the Airflow connection of that id."""
    try:
        return Connection.get(secret).password or None
    except AirflowNotFoundException:
        return None
