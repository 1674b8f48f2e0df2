"""A registry that did not change is not loaded again, on any engine. Whatever its tables follow from is noticed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etl import pipeline, settings, state
from etl.errors import RefusedRegistry
from etl.landing import Landing
from etl.normalise import registry
from etl.pipeline import Context
from tests import platform_by_hand as platform
from tests.given import LOADED_AT

RECIPIENTS = platform.REGISTRY["recipients"]


@pytest.fixture
def context(tmp_path: Path, warehouse_url: str) -> Context:
    """Return the context of a platform whose registry is loaded."""
    for table, rows in platform.REGISTRY.items():
        platform.write_table(tmp_path, table, rows)
    configured = settings.Settings.model_construct(
        registry=settings.Registry(url=f"file://{tmp_path}/registry"), warehouse=settings.Warehouse(url=warehouse_url),
        credential=settings.Credential(), machines=settings.Machines(), normalise=settings.Normalise(),
    )  # fmt: skip
    ledger = state.open(f"sqlite:///{tmp_path}/state.db", None, {}.get)
    found = Context(configured, {}.get, Landing(f"file://{tmp_path}/landing"), ledger, "k")
    pipeline.pull_registry(found)
    return found


def tables(context: Context) -> str | None:
    """Return the folder of the tables from which the warehouse was loaded last."""
    loaded = context.landing.loaded("registry")
    return loaded.events if loaded else None


def column(context: Context, name: str, table: str) -> list[Any]:
    """Return the distinct values of a column of the warehouse."""
    with context.warehouse() as opened:
        values = opened._execute(f"SELECT DISTINCT {name} FROM {table} ORDER BY {name} NULLS LAST", {}).scalars()
        return list(values)


def test_what_did_not_change_is_not_loaded_again(context: Context) -> None:
    """The night says how many rows there are, repeats no warning, and makes no certificate stale."""
    former, loaded = tables(context), context.landing.loaded("registry")
    manifest = pipeline.pull_registry(context)
    assert loaded and (manifest.counts, manifest.warnings, manifest.status) == (loaded.counts, (), "valid")
    assert (tables(context), context.landing.newest("registry")) == (former, manifest)


def test_the_raw_files_stay_those_of_the_last_pull(context: Context) -> None:
    """The landing can rebuild the registry, although its tables are those of an earlier night."""
    manifest = pipeline.pull_registry(context)
    assert all(Path(context.landing.path("registry", raw.path)).is_file() for raw in manifest.raw)
    assert context.landing.loaded("registry") == manifest


CHANGES: dict[str, Callable[[Context, Path], Any]] = {
    "a name": lambda _, folder: platform.write_table(folder, "recipients", RECIPIENTS.replace("Person 1,", "Ada,")),
    "another table": lambda _, folder: platform.write_table(
        folder, "issuers", platform.REGISTRY["issuers"].replace("Northwind", "North")
    ),
    "a forgotten recipient": lambda context, _: context.state.forget("r01", LOADED_AT),
}


@pytest.mark.tables
@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_loaded(context: Context, tmp_path: Path, change: str) -> None:
    """One letter of one row is enough, and so is a recipient who asked to be erased."""
    former = tables(context)
    CHANGES[change](context, tmp_path)
    pipeline.pull_registry(context)
    assert tables(context) != former
    assert ("r01" in column(context, "recipient_id", "recipients")) == (change != "a forgotten recipient")


def test_another_key_or_other_rules_give_another_fingerprint(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of addresses follow from the key, and a new release may judge rows otherwise. The order of files is none."""
    manifest = context.landing.newest("registry")
    assert manifest

    def found(key: str = "k", forgotten: tuple[str, ...] = ("a", "b")) -> str:
        return registry.fingerprint(manifest, hash_key=key, forgotten=forgotten)

    first = found()
    assert first == found(forgotten=("b", "a"))
    assert len({first, found("other"), found(forgotten=("a",))}) == 3
    monkeypatch.setattr(registry, "_rules", lambda: "others")
    assert found() != first


@pytest.mark.tables
def test_an_emptied_warehouse_gets_the_registry_again(context: Context) -> None:
    """The landing says what was loaded last, but only the warehouse knows what it holds."""
    former, before = tables(context), column(context, "recipient_id", "recipients")
    with context.warehouse() as opened, opened._writing():
        for table in ("recipients", "registry_fingerprint"):
            opened._delete(table, "TRUE", {})
    pipeline.pull_registry(context, from_landing=True)
    assert tables(context) != former
    assert column(context, "recipient_id", "recipients") == before


@pytest.mark.tables
def test_a_registry_that_comes_back_is_loaded_or_kept(context: Context, tmp_path: Path) -> None:
    """One that lost its rows is refused each night, and the one before it is kept, also when it is pulled again."""
    former, before = tables(context), column(context, "recipient_id", "recipients")
    platform.write_table(tmp_path, "recipients", RECIPIENTS[:300])
    for _ in range(2):
        with pytest.raises(RefusedRegistry, match=r"recipients has \d rows, under 90 % of the 20 before, which stay"):
            pipeline.pull_registry(context)
    platform.write_table(tmp_path, "recipients", RECIPIENTS)
    assert pipeline.pull_registry(context).status == "valid"
    assert (tables(context), column(context, "recipient_id", "recipients")) == (former, before)


@pytest.mark.tables
def test_only_the_certificates_of_changed_rows_become_stale(context: Context, tmp_path: Path) -> None:
    """A night costs what it brought: two renamed recipients of one certificate recompute one certificate."""
    pipeline.refresh(context)
    platform.write_table(tmp_path, "recipients", RECIPIENTS.replace("Person 1,", "Ada,").replace("Person 2,", "Grace,"))
    pipeline.pull_registry(context)
    assert column(context, "certificate_id", "stale_certificates") == ["c1"]
