"""Alert the data engineer to red tasks: once, and once when it is over.

The state of the nights alerts to slices and reports (`night_is_whole`, and `nothing_is_late` each hour). This module
alerts to the other tasks, by the same mail. A callback never fails: it logs a warning.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dags.context import AirflowFailException, opened_context

if TYPE_CHECKING:
    from etl.pipeline import Context

log = logging.getLogger(__name__)


def task_is_red(context: Any) -> None:
    """Alert that a task failed for good: why, and where its log is."""

    def send(opened: "Context") -> None:
        from etl import pipeline

        ti = context["ti"]
        reason = reason_of(context.get("exception"))
        pipeline.alert_red(opened, name_of(ti), reason, f"see {ti.log_url}", datetime.now(UTC))

    _alert(send)


def task_is_green(context: Any) -> None:
    """Alert that a task succeeded after an alert that it was red."""

    def send(opened: "Context") -> None:
        from etl import pipeline

        pipeline.alert_green(opened, name_of(context["ti"]), datetime.now(UTC))

    _alert(send)


def name_of(ti: Any) -> str:
    """Return the name of a task in alerts: the same in every run, so that a cause is alerted once."""
    index = getattr(ti, "rendered_map_index", None)
    return f"{ti.dag_id} {ti.task_id}{f' [{index}]' if index else ''}"


def reason_of(error: BaseException | None) -> str:
    """Return the reason of a failure. The text of an error that is none of ours may hold data, so only its class is named."""
    from etl import pipeline

    if pipeline.is_expected(error) or isinstance(error, AirflowFailException):
        return str(error)
    return f"it failed with {type(error).__name__}" if error else "it was killed"


def _alert(send: Callable[["Context"], None]) -> None:
    try:
        with opened_context() as opened:
            send(opened)
    except Exception as error:  # noqa: BLE001  # whatever it is, the task has ended by now
        log.warning("no alert could be sent: %s", error)


WATCHED: dict[str, Any] = {"on_failure_callback": task_is_red, "on_success_callback": task_is_green}
"""The arguments of a task whose failure the state of the nights does not show."""
