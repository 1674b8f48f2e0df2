"""The page on the configuration agrees with the settings' model, key by key."""

import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from etl import settings

PAGE = Path("docs/configuration.md").read_text()
SECTIONS = {
    found[1].removesuffix(".NAME"): found[2] for found in re.finditer(r"(?ms)^## `\[(\S+)\]`$(.*?)(?=^## |\Z)", PAGE)
}
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| (.+) \|$", re.MULTILINE)
EXAMPLES = "\n".join(re.findall(r"(?s)```toml\n(.*?)```", PAGE))


def model(table):
    """Return the model of a table of the configuration."""
    annotation = settings.Settings.model_fields[table].annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else get_args(annotation)[1]


def shown(field):
    """Return a field's default as the page writes it."""
    if field.is_required():
        return "required"
    return "–" if field.default is None else f"`{json.dumps(field.default)}`"


def test_the_page_has_every_table_in_its_order():
    """Every table can be found on the page, in the order of the model."""
    assert list(SECTIONS) == list(settings.Settings.model_fields)


@pytest.mark.parametrize("table", settings.Settings.model_fields)
def test_the_page_has_every_key_with_its_default(table):
    """The page shows the defaults that the code uses."""
    rows = {key: default for key, _, default, _ in ROW.findall(SECTIONS[table])}
    assert rows == {name: shown(field) for name, field in model(table).model_fields.items()}


@pytest.mark.parametrize("table", settings.Settings.model_fields)
def test_the_page_shows_every_key_in_an_example(table):
    """Every key can be copied from an example on the page."""
    example = tomllib.loads("\n".join(re.findall(r"(?s)```toml\n(.*?)```", SECTIONS[table])))[table]
    keys = {key for each in example.values() for key in each} if table == "sources" else set(example)
    assert keys == set(model(table).model_fields)


def test_the_examples_are_a_configuration(tmp_path, monkeypatch):
    """All examples together are read without an error."""
    (tmp_path / "analytics.toml").write_text(EXAMPLES)
    monkeypatch.setenv("ANALYTICS_CONFIG", str(tmp_path / "analytics.toml"))
    assert settings.load().sources.keys() == {"sendgrid", "mailgun_eu", "recipient_view"}
