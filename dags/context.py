"""How a task gets the pipeline's context, and how the pipeline's failures become Airflow's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk import Connection

if TYPE_CHECKING:
    from airflow.sdk import CronDataIntervalTimetable
    from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException

    from etl.pipeline import Context
else:
    try:
        from airflow.sdk import CronDataIntervalTimetable
        from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException
    except ImportError:  # Airflow 3.1
        from airflow.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException
        from airflow.timetables.interval import CronDataIntervalTimetable

__all__ = ["AirflowFailException", "AirflowSkipException", "CronDataIntervalTimetable", "opened_context"]


@contextmanager
def opened_context() -> Iterator["Context"]:
    """Read the configuration and open the state, in tasks alone.

    A failure of the block that another try cannot change fails the task at once, whatever its retries.
    """
    from etl import pipeline

    try:
        yield pipeline.open_context(_password)
    except Exception as error:
        if pipeline.is_final(error):
            raise AirflowFailException(str(error)) from error
        raise


def _password(secret: str) -> str | None:
    """Return the password of the Airflow connection of that id."""
    try:
        return Connection.get(secret).password or None
    except AirflowNotFoundException:
        return None
