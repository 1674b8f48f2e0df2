"""Errors keep their message on the way from one process to another."""

import base64
import inspect
import pickle
import sqlite3
import time
from datetime import date
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


PRINTABLE = st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp", "Cf", "Cn", "Co"))
FORMS = {
    "raw": lambda secret: secret,
    "quoted": lambda secret: quote(secret, safe=""),
    "Base64": lambda secret: base64.b64encode(secret.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
@given(secret=st.text(PRINTABLE, min_size=6, max_size=40), before=st.text(max_size=30), after=st.text(max_size=30))
def test_a_text_from_outside_is_without_the_secret(form, secret, before, after):
    """Whatever stands around it, a secret of ours is not in a log, and the text is one line."""
    written = FORMS[form](secret)
    said = errors.redacted(f"{before} {written} {after}", secret)
    without = errors.redacted(f"{before} {after}")
    assert written not in said.replace("<secret>", " ") or written in without
    assert len(said.splitlines()) < 2


@given(before=st.binary(max_size=20), secret=st.text(min_size=6, max_size=20), after=st.binary(max_size=20))
def test_a_secret_within_a_longer_login_is_found(before, secret, after):
    """A login that sends user and password together in Base64 is taken out whole, wherever the password begins."""
    assert errors.redacted(base64.b64encode(before + secret.encode() + after).decode(), secret) in (
        "<secret>",
        "<address>",
    )


@pytest.mark.parametrize(
    "text", ["a" * 4_000_000, "<" * 4_000_000, '"' * 4_000_000, "a@" * 2_000_000, "\n" * 4_000_000]
)
def test_the_work_grows_with_the_length_of_the_text(text):
    """A server that answers with megabytes does not hold up a run."""
    begun = time.process_time()
    errors.redacted(text, "hunter2")
    assert time.process_time() - begun < 5


def test_the_words_of_a_driver_are_without_secret_and_address():
    """A database may quote what it was given."""
    error = sqlite3.OperationalError('login "hunter2" of "the dean"@northwind.example failed\nDETAIL: more')
    assert errors.refusal_of(error, "hunter2", None) == 'login "<secret>" of <address> failed'
