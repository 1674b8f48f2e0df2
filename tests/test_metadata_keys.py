"""A slice lands of the sender's metadata the ids and the keys that its source names, in every format, and no others."""

import io
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from pydantic import ValidationError

from etl import normalise, settings
from etl.landing import Landing, Manifest, slice_prefix
from tests.test_normalise import TODAY, cases, content, source

PREFIX = slice_prefix("mail", TODAY)
COLUMNS = ("event_key", "recipient_id", "certificate_id", "metadata")

Row = tuple[str, str | None, str | None, dict[str, str]]


@cache
def contents(form: str) -> tuple[bytes, ...]:
    """Return the files of a format's cases that are read with the usual settings."""
    return tuple(content(case["raw"]) for case in cases(form) if "source" not in case)


def shown(form: str, **differing: Any) -> list[Row]:
    """Return the events with the whole metadata, as the command line shows them."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.log") for number in range(len(contents(form)))]
        for path, each in zip(paths, contents(form), strict=True):
            path.write_bytes(each)
        with normalise.explain(paths, source(form, **differing), today=TODAY) as explained:
            return [tuple(json.loads(event)[name] for name in COLUMNS) for _, event in explained.events]  # type: ignore[misc]


def landed(landing: Landing, form: str, **differing: Any) -> list[Row]:
    """Return the same of the landed events."""
    raw = [
        landing.store(PREFIX, f"raw/{number}.log", io.BytesIO(each), f"{number}.log")
        for number, each in enumerate(contents(form))
    ]
    landing.publish(Manifest(prefix=PREFIX, raw=tuple(raw)))
    logs = source(form, **differing)
    manifest = normalise.normalise_slice(landing, settings.Normalise(), "mail", logs, TODAY, hash_key="")
    rows = parquet.read_table(landing.path(PREFIX, str(manifest.events))).to_pylist()
    return [(row["event_key"], row["recipient_id"], row["certificate_id"], json.loads(row["metadata"])) for row in rows]


def of_keys(rows: list[Row], names: list[str]) -> set[str]:
    """Return rows as texts that can be compared, with only those keys of their metadata."""
    chosen = [(*row[:3], {name: text for name, text in row[3].items() if name in names}) for row in rows]
    return {json.dumps(row, sort_keys=True) for row in chosen}


@pytest.mark.parametrize("form", normalise.FORMATS)
def test_a_slice_keeps_the_ids_and_the_named_keys(form: str, landing: Landing) -> None:
    """By default no metadata is landed. Named keys have the values that the command line shows. Ids are found all the same."""
    whole = shown(form)
    every = sorted({name for row in whole for name in row[3]})
    for names in ([], every[::2]):
        found = landed(landing, form, metadata_keys=names)
        assert {row[0] for row in found} == {row[0] for row in whole}
        assert of_keys(found, every) <= of_keys(whole, names)


@pytest.mark.parametrize("key", ["email", "category", "sg_event_id", "pool", "sg_template_id"])
def test_a_key_of_sendgrids_own_is_no_metadata(key: str, landing: Landing) -> None:
    """Whether a slice lands it or the command line shows it, and also where it is named as the key of an id."""
    for differing in ({"metadata_keys": [key]}, {"recipient_key": key}):
        found = landed(landing, "sendgrid", **differing)
        assert not any(key in row[3] for row in found)
        assert of_keys(found, []) <= of_keys(shown("sendgrid", **differing), [])


def test_a_key_is_named_once() -> None:
    """A repeated key is a slip that the configuration names."""
    with pytest.raises(ValidationError, match="it names 'a' twice; write each key once"):
        settings.Source(format="ses", files="*", metadata_keys=["a", "b", "a"])
