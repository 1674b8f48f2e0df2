"""How the DAGs come to the configuration: its secrets are the passwords of the Airflow connections of those ids."""

from typing import TYPE_CHECKING

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from etl.porch import House


def enter() -> "House":
    """Reads the configuration and opens the state; called in tasks alone."""
    from etl import porch

    return porch.enter(_password)


def _password(secret: str) -> str | None:
    try:
        return Connection.get(secret).password or None
    except AirflowNotFoundException:
        return None
