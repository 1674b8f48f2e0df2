"""Errors keep their message on the way from one process to another."""

import inspect
import pickle
from datetime import date

import pytest

from etl import errors

DAY = date(2026, 11, 2)
ARGUMENTS = {
    "source": "mail", "day": DAY, "reason": "it broke", "pattern": "*.json", "file": "a.json", "new": 1, "loaded": 3,
    "expectations": ["rejects"], "query": "SELECT 1", "url": "file:/landing", "kind": "issuer", "name": "i1",
    "what": "the report s1 2026-11", "message_id": "<m@example.com>", "host": "mail.example.com", "place": "state.db",
    "kept_days": 3, "secret": "KEY", "status": 401, "listing": "events", "count": 20_000,
}  # fmt: skip
CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.AnalyticsError)]


def made(kind):
    """Return an error with every argument that its class takes."""
    parameters = list(inspect.signature(kind.__init__).parameters)[1:]
    return kind(*(ARGUMENTS.get(name, "it broke") for name in parameters if name not in ("args", "kwargs")))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind):
    """A worker's failure reaches the waiting process with its message and its facts."""
    error = made(kind)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (kind, str(error), vars(error))
