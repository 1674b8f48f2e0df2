"""The page on sources agrees with the code, for every format and every provider that has an API."""

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
    """Every format is on the page, and no other."""
    assert sorted(name for name, _ in MAIL) == sorted(name for name, each in FORMATS.items() if not each.is_pixel)
    assert sorted(name for name, _ in ACCESS) == sorted(name for name, each in FORMATS.items() if each.is_pixel)


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_page_says_how_long_a_provider_keeps_its_events(name):
    """The retention on the page is the one by which a pull is refused."""
    assert [row.rsplit("|", 1)[1].strip() for each, row in PULLED if each == name] == [
        str(PROVIDERS[name].RETENTION_DAYS)
    ]


@pytest.mark.parametrize(("name", "row"), MAIL)
def test_the_page_names_the_flag_for_machines(name, row):
    """The format reads the provider's flag for machines that the page names. Where the page says none, it has none."""
    sql = Path(f"sql/normalise/{name}.sql").read_text()
    assert ("AS is_flagged" in sql) == (row.split("|")[1].strip() != "none")


def test_the_page_has_the_keys_of_nginx_json():
    """An operator can look up under which keys a request may stand: those on the page are those that are read."""
    keys = re.search(r"`nginx_json` reads these keys.*?\n\n.*?\n\n", PAGE, re.DOTALL)
    read = re.findall(r'"([@\w]+)": "VARCHAR"', Path("sql/normalise/nginx_json.sql").read_text())
    assert keys and {key for key in re.findall(r"`([@\w]+)`", keys[0]) if key not in ("GET", "nginx_json")} == set(read)
