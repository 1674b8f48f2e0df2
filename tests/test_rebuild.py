"""A rebuild makes a warehouse equal to the landing, in bulk: on any engine, after any kill, with any rules and key."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from etl import settings
from etl.errors import SliceError
from etl.landing import Landing, slice_prefix
from etl.pipeline import rebuilds
from tests import platform_by_hand as platform
from tests.command import Ran, die, run
from tests.test_nights import copied, kill_when_called

ONE, TWO = platform.DAYS
SLICES = [(source, day) for source in ("mail", "view") for day in platform.DAYS]
KILLED = -9

Content = dict[str, list[str]]


def command(configuration: Path, *arguments: str, before: Callable[[], None] | None = None, **variables: str) -> Ran:
    """Run a command on the platform, and check that there is no traceback and no address on stderr."""
    ran = run(configuration, *arguments, before=before, **{"HASH_KEY": platform.KEY, **variables})
    assert ("Traceback" in ran.err, "@" in ran.err) == (False, False), ran.err
    return ran


def held(url: str) -> Content:
    """Return all rows of a warehouse by table, without the times of loading and the folders of landed versions."""
    engine = create_engine(url)
    with closing(engine.connect()) as connection:
        found = {
            name: connection.execute(text(f"SELECT * FROM {name}")).mappings().all()
            for name in sorted(inspect(connection).get_table_names())
        }
    engine.dispose()
    unequal = ("loaded_at", "version")
    return {
        name: sorted(repr({column: row[column] for column in row if column not in unequal}) for row in rows)
        for name, rows in found.items()
    }


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Content]:
    """Return a platform whose two days were loaded by a night, and the content of its warehouse."""
    configuration = platform.write(tmp_path_factory.mktemp("night"))
    assert command(configuration, "nightly", "--day", str(ONE), "--to", str(TWO)).code == 0
    return configuration, held(f"duckdb:///{configuration.parent}/warehouse.duckdb")


@pytest.fixture
def wanted(night: tuple[Path, Content]) -> Content:
    """Return the content that a rebuilt warehouse must have."""
    return night[1]


@pytest.fixture
def emptied(night: tuple[Path, Content], tmp_path: Path) -> Path:
    """Return a copy of the platform whose warehouse, logs and registry's host are gone."""
    configuration = copied(night[0], tmp_path / "platform")
    for name in ("mail", "registry"):
        shutil.rmtree(configuration.parent / name)
    (configuration.parent / "warehouse.duckdb").unlink()
    return configuration


def url_of(configuration: Path) -> str:
    """Return the URL of a platform's own warehouse."""
    return f"duckdb:///{configuration.parent}/warehouse.duckdb"


def landing_of(configuration: Path) -> Landing:
    """Return the landing of a platform."""
    return Landing(f"file://{configuration.parent}/landing")


def change_manifests(configuration: Path, **differing: Any) -> None:
    """Change fields in the manifests of all slices, as if another release had written them."""
    for path in configuration.parent.glob("landing/slices/*/*/*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **differing}))


def remove_raw(configuration: Path) -> None:
    """Remove all raw files of slices, as when they expire."""
    for path in configuration.parent.glob("landing/slices/*/*/*/raw"):
        shutil.rmtree(path)


def counts(ran: Ran) -> str:
    """Return the last line of a rebuild, without its first word."""
    return ran.err.splitlines()[-1].removeprefix("rebuild: ")


@pytest.mark.tables
def test_another_engine_is_filled_from_the_parquet_files(emptied: Path, wanted: Content, warehouse_url: str) -> None:
    """A move from DuckDB to PostgreSQL, or back, works without the raw files, and makes the same tables."""
    remove_raw(emptied)
    ran = command(emptied, "rebuild", ANALYTICS_WAREHOUSE__URL=warehouse_url)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        "registry: 28 rows, 0 left out",
        f"mail {ONE}: 23 events, 1 duplicates, 1 rejects, 0 ignored",
        f"mail {TWO}: 6 events, 0 duplicates, 0 rejects, 0 ignored",
        f"view {ONE}: 8 events, 0 duplicates, 1 rejects, 1 ignored",
        f"view {TWO}: 5 events, 0 duplicates, 0 rejects, 0 ignored",
        "rebuild: 4 slices loaded, 0 were loaded already, 0 failed",
    ]
    own = {"figure_rules": ["names the queries of the engine"]}
    assert held(warehouse_url) | own == wanted | own


def test_a_rebuild_of_what_is_loaded_does_nothing(emptied: Path, wanted: Content) -> None:
    """It can be run again, and days can be left out."""
    assert counts(command(emptied, "rebuild", "--to", str(ONE))) == "2 slices loaded, 0 were loaded already, 0 failed"
    assert counts(command(emptied, "rebuild")) == "2 slices loaded, 2 were loaded already, 0 failed"
    assert counts(command(emptied, "rebuild", "--from", str(TWO))) == "0 slices loaded, 2 were loaded already, 0 failed"
    assert held(url_of(emptied)) == wanted


def test_a_mended_format_is_normalised_again(emptied: Path, wanted: Content) -> None:
    """Events of other rules are made again from the raw files, and validated, and the former files are removed in time."""
    change_manifests(emptied, rules="of the release before")
    ran = command(emptied, "rebuild")
    assert (ran.code, counts(ran)) == (0, "4 slices loaded, 0 were loaded already, 0 failed")
    assert held(url_of(emptied)) == wanted
    landing = landing_of(emptied)
    for each in SLICES:
        manifest = landing.loaded(slice_prefix(*each))
        assert manifest and manifest == landing.newest(slice_prefix(*each))
        assert (manifest.status, manifest.rules != "of the release before") == ("valid", True)
        page = landing.read(landing.path(manifest.prefix, str(manifest.events).split("/")[0], "validation.html"))
        assert page and f"2 slices at once, {each[0]} {ONE} to {each[0]} {TWO}: valid" in page.decode()


def test_a_changed_setting_of_a_source_is_a_changed_rule(emptied: Path, wanted: Content) -> None:
    """A rebuild applies it to the slices of that source, also where they are loaded, and leaves the others alone."""
    assert command(emptied, "rebuild").code == 0
    changed = {"ANALYTICS_SOURCES__MAIL__RECIPIENT_KEY": "who"}
    assert counts(command(emptied, "rebuild", **changed)) == "2 slices loaded, 2 were loaded already, 0 failed"
    assert held(url_of(emptied))["events"] != wanted["events"]
    assert counts(command(emptied, "rebuild")) == "2 slices loaded, 2 were loaded already, 0 failed"
    assert held(url_of(emptied)) == wanted


def test_another_hash_key_needs_the_raw_files(emptied: Path, wanted: Content) -> None:
    """With them all is hashed anew. Without them each slice is named, and nothing is loaded under the wrong key."""
    ran = command(emptied, "rebuild", HASH_KEY="another key")
    assert (ran.code, counts(ran)) == (0, "4 slices loaded, 0 were loaded already, 0 failed")
    other = held(url_of(emptied))
    assert other["events"] != wanted["events"]
    assert other["certificate_statistics"] == wanted["certificate_statistics"]
    (emptied.parent / "warehouse.duckdb").unlink()
    remove_raw(emptied)
    ran = command(emptied, "rebuild")
    assert (ran.code, counts(ran)) == (1, "0 slices loaded, 0 were loaded already, 4 failed")
    reason = "its raw files are gone, and its events were made with another key or were never valid; bring the files"
    assert [f"error: {source} {day}: {reason}" in ran.err for source, day in SLICES] == [True] * 4


def test_expired_raw_files_of_a_former_release_leave_the_events(emptied: Path, wanted: Content) -> None:
    """What cannot be normalised again is loaded as it was: the history outlives its raw files."""
    change_manifests(emptied, rules="of the release before")
    remove_raw(emptied)
    assert counts(command(emptied, "rebuild")) == "4 slices loaded, 0 were loaded already, 0 failed"
    assert held(url_of(emptied)) == wanted


def test_a_source_that_has_left_the_configuration_keeps_its_events(emptied: Path, wanted: Content) -> None:
    """The slices of a former provider are in the landing, and in every rebuilt warehouse."""
    configured = emptied.read_text()
    begin, end = configured.index("[sources.mail]"), configured.index("[sources.view]")
    emptied.write_text(configured[:begin] + configured[end:])
    assert command(emptied, "rebuild").code == 0
    assert held(url_of(emptied))["events"] == wanted["events"]


STAGES = {
    "before the first load": ("etl.warehouse.tables.TableWarehouse.replace_slices", 1),
    "within the first transaction": ("etl.warehouse.tables.TableWarehouse._record", 2),
    "before the landing is marked": ("etl.landing.Landing.mark_loaded", 3),
    "before the second load": ("etl.warehouse.tables.TableWarehouse.replace_slices", 2),
    "with half of a source validated": ("etl.validate._published", 2),
    "before the figures": ("etl.statistics.refresh", 1),
    "within the figures": ("etl.sql.compose", 1, "channel_shares"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_rebuild_that_was_killed_goes_on(emptied: Path, wanted: Content, stage: str) -> None:
    """Wherever it was killed, the next one makes the same warehouse, and does not do again what is committed."""
    change_manifests(emptied, rules="of the release before")
    assert command(emptied, "rebuild", before=partial(kill_when_called, *STAGES[stage])).code == KILLED
    ran = command(emptied, "rebuild")
    committed = 0 if "first" in stage or "half" in stage else 4 if "figures" in stage else 2
    assert (ran.code, counts(ran)) == (0, f"{4 - committed} slices loaded, {committed} were loaded already, 0 failed")
    assert held(url_of(emptied)) == wanted
    landing = landing_of(emptied)
    assert all(landing.loaded(slice_prefix(*each)) == landing.newest(slice_prefix(*each)) for each in SLICES)


def teleport(configuration: Path) -> None:
    """Replace every event of the mail of day two by unknown ones, in the landed raw file."""
    manifest = landing_of(configuration).newest(slice_prefix("mail", TWO))
    assert manifest
    path = configuration.parent / "landing" / manifest.prefix / manifest.raw[0].path
    path.rename(path.with_suffix(""))
    records = [json.dumps({**record, "event": "teleported"}) for record in platform.MAIL[TWO]]
    platform.write_mail(configuration.parent, TWO, "\n".join(records).encode()).rename(path)


def cut(configuration: Path) -> None:
    """Cut the landed raw file of day two."""
    manifest = landing_of(configuration).newest(slice_prefix("mail", TWO))
    assert manifest
    path = configuration.parent / "landing" / manifest.prefix / manifest.raw[0].path
    path.write_bytes(path.read_bytes()[:60])


def damage_manifest(configuration: Path) -> None:
    """Cut the manifest of day two."""
    path = configuration.parent / "landing" / slice_prefix("mail", TWO) / "newest.json"
    path.write_bytes(path.read_bytes()[:40])


def damage_events(configuration: Path) -> None:
    """Write the manifest of day two as today's, though its Parquet file is damaged."""
    landing = landing_of(configuration)
    valid = landing.newest(slice_prefix("mail", TWO))
    assert valid
    (configuration.parent / "landing" / valid.prefix / str(valid.events)).write_bytes(b"no Parquet")


FAILING: dict[str, tuple[Callable[[Path], None], bool, str]] = {
    "its events are not plausible": (teleport, True, "validation failed: event_type unknown: "),
    "its file is damaged": (cut, True, "cannot be read ("),
    "its manifest is damaged": (damage_manifest, False, "newest.json is damaged ("),
    "its Parquet file is damaged": (damage_events, False, ""),
}


@pytest.mark.parametrize("reason", FAILING)
def test_a_slice_that_fails_is_named_and_the_others_go_on(emptied: Path, reason: str) -> None:
    """One line says which and why, `slices` keeps it, and the exit code is 1. The former version is not touched."""
    damage, is_normalised_again, words = FAILING[reason]
    damage(emptied)
    if is_normalised_again:
        change_manifests(emptied, rules="of the release before")
    ran = command(emptied, "rebuild")
    assert (ran.code, counts(ran)) == (1, "3 slices loaded, 0 were loaded already, 1 failed")
    [line] = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: mail {TWO}: ") and words in line
    listed = {
        (row["source"], row["load_date"]): row for row in json.loads(command(emptied, "slices", "--format", "json").out)
    }
    assert listed["mail", str(TWO)]["status"] == "failed"
    assert words in listed["mail", str(TWO)]["last_error"]


def test_a_slice_that_would_shrink_needs_replace(emptied: Path) -> None:
    """Rules under which most events vanish never replace a loaded slice by themselves."""
    assert command(emptied, "rebuild").code == 0
    changed = {"ANALYTICS_SOURCES__VIEW__PIXEL_PATH": "/other.gif"}
    ran = command(emptied, "rebuild", **changed)
    assert (ran.code, counts(ran)) == (1, "0 slices loaded, 2 were loaded already, 2 failed")
    assert ran.err.count("under half of the ") == 2
    ran = command(emptied, "rebuild", "--replace", **changed)
    assert (ran.code, counts(ran)) == (0, "2 slices loaded, 2 were loaded already, 0 failed")


WRONG = {
    "days that go back": (("--from", str(TWO), "--to", str(ONE)), 2, "--to lies before --from"),
    "no landed slice": (("--from", "2031-01-01"), 1, "it has no slice of those days"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_rebuild_of_nothing_says_so(emptied: Path, mistake: str) -> None:
    """A landing that was mistyped does not look like a warehouse that is complete."""
    arguments, code, words = WRONG[mistake]
    ran = command(emptied, "rebuild", *arguments)
    assert (ran.code, words in ran.err) == (code, True)


class Fatal:
    """A source that kills the process in which it arrives."""

    def __reduce__(self) -> Any:
        return die, ()


@pytest.fixture
def jobs(night: tuple[Path, Content], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that makes the job of a source of a copied platform."""
    landing = landing_of(copied(night[0], tmp_path / "platform"))
    sources: dict[str, Any] = {
        "mail": settings.Source(format="sendgrid", files="*"),
        "view": settings.Source(format="nginx_combined", files="*"),
    }

    def job(name: str, *days: date, source: Any = None) -> Any:
        return rebuilds._Job(landing.url, settings.Normalise(), name, source or sources[name], days, "k")

    return job


def test_a_process_that_is_killed_fails_its_slices_alone(jobs: Callable[..., Any]) -> None:
    """One slice that needs more memory than there is does not end a rebuild of a thousand."""
    wanted = [jobs("mail", ONE, source=Fatal()), jobs("view", ONE, TWO), jobs("mail", TWO)]
    with rebuilds._Processes(2) as processes:
        for job in wanted:
            processes.start(job)
        killed, *others = [processes.outcomes(job) for job in wanted]
    assert [isinstance(failure, SliceError) for failure in killed] == [True]
    assert "was killed" in str(killed[0])
    assert others == [[None, None], [None]]
