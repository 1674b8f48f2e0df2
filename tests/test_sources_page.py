"""The page on sources says what the code does, for every format and every provider that can be asked."""

import re
from pathlib import Path

import pytest

from etl.extract import PROVIDERS
from etl.normalise import FORMATS

PAGE = Path("docs/sources.md").read_text()
MAIL, PULLED, ACCESS = (
    re.findall(r"^\| `(\w+)` \|(.*)\|$", part, re.MULTILINE)
    for part in re.split(r"^## (?:Pulled|Access)", PAGE, flags=re.MULTILINE)
)


def test_the_page_has_every_format_once():
    """Nobody looks for a provider in vain, nor finds one that is gone."""
    assert sorted(name for name, _ in MAIL) == sorted(name for name, each in FORMATS.items() if not each.is_pixel)
    assert sorted(name for name, _ in ACCESS) == sorted(name for name, each in FORMATS.items() if each.is_pixel)


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_page_tells_how_long_a_provider_keeps_its_events(name):
    """What the page says of a retention is what a pull refuses by."""
    assert [row.rsplit("|", 1)[1].strip() for each, row in PULLED if each == name] == [
        str(PROVIDERS[name].RETENTION_DAYS)
    ]


@pytest.mark.parametrize(("name", "row"), MAIL)
def test_the_page_tells_whose_word_on_machines_is_heard(name, row):
    """Where the page names a provider's flag, the format reads it; where it says none, the format has none."""
    sql = Path(f"sql/normalise/{name}.sql").read_text()
    assert ("AS is_flagged" in sql) == (row.split("|")[1].strip() != "none")
