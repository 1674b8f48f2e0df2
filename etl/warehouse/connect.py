"""The client of Spark Connect: open a session, bind parameters. The only module that imports pyspark."""

import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy.exc import DBAPIError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a pandas that is newer than pyspark knows; nothing of ours goes through pandas
    from grpc import RpcError
    from pyspark.errors import PySparkException
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.column import Column
    from pyspark.sql.connect.expressions import LiteralExpression
    from pyspark.sql.connect.session import SparkSession
    from pyspark.sql.types import TimestampNTZType

ERRORS = (PySparkException, RpcError, DBAPIError)
"""The errors of a statement: those of the client, and those of the state's database."""

_CONFIGURED = {
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
}
_CHANNEL = [
    ("grpc.keepalive_time_ms", 360_000),  # servers allow one in five minutes
    ("grpc.keepalive_timeout_ms", 20_000),
]
"""How a server is found dead that no longer answers: the client's own limits are hours."""

_RETRIES = {"max_retries": 6, "initial_backoff": 100, "max_backoff": 5_000, "backoff_multiplier": 3.0}
"""How often a server is asked again that cannot be reached: for some fifteen seconds, not the ten minutes of the client."""


def session(address: str) -> SparkSession:
    """Open a session in which every engine's SQL means the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = SparkSession(DefaultChannelBuilder(address, _CHANNEL))
        opened.client.set_retry_policies([DefaultPolicy(**_RETRIES)])
        for name, value in _CONFIGURED.items():
            opened.conf.set(name, value)
    return opened


def with_token(url: str, secret: str | None) -> str:
    """Return the URL with a secret as the bearer token of Spark Connect, which then encrypts the connection."""
    if secret is None:
        return url
    base = url if ";" in url else f"{url.rstrip('/')}/"
    return f"{base};token={quote(secret, safe='')}"


def literals(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as Spark takes them. The client would take a naive time for one in the zone of this machine."""
    return {
        name: Column(LiteralExpression(value, TimestampNTZType())) if isinstance(value, datetime) else value
        for name, value in parameters.items()
    }
