"""The page on the one-click address: its endpoint, run as it stands there, keeps the contract of RFC 8058."""

import re
import sys
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest

from etl import deliver, settings, state
from tests import platform_by_hand as platform

PAGE = Path("docs/unsubscribe.md").read_text()
(ENDPOINT,) = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """Return the state of a platform whose configuration the endpoint finds in its environment."""
    monkeypatch.setenv("ANALYTICS_CONFIG", str(platform.write(tmp_path)))
    monkeypatch.setenv("HASH_KEY", platform.KEY)
    return state.open(settings.load().state_url, None, {}.get)


def answer(method, token):
    """Return the status and the page that the endpoint answers."""
    module, statuses = {"sys": sys}, []
    exec(ENDPOINT, module)
    environ = {"PATH_INFO": f"/unsubscribe/{token}", "REQUEST_METHOD": method}
    setup_testing_defaults(environ)
    body = module["application"](environ, lambda status, headers: statuses.append(status))
    return statuses[0][:3], b"".join(body).decode()


def test_a_post_ends_the_mails_and_a_second_one_is_no_error(ledger):
    """A mail program that tries again is told of a success, too."""
    token = deliver.unsubscribe_token("s1", platform.KEY)
    assert [answer("POST", token)[0] for _ in range(2)] == ["200", "200"]
    assert ledger.unsubscribed() == {"s1"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_that_is_only_followed_changes_nothing(ledger, method):
    """A scanner that fetches each link of a mail ends nobody's reports; a person finds a button."""
    status, page = answer(method, deliver.unsubscribe_token("s1", platform.KEY))
    assert (status, ledger.unsubscribed()) == ("200", set())
    assert '<form method="post"><button>' in page


@pytest.mark.parametrize("forged", ["s1", "--help", ""])
def test_a_forged_token_is_not_found(ledger, forged):
    """Whatever stands in the address, nobody is unsubscribed, and no option of the command is taken from it."""
    assert (answer("POST", forged)[0], ledger.unsubscribed()) == ("404", set())
