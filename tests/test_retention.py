"""Retention removes what has reached its age, and nothing that a later run or a rebuild needs."""

import os
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest

from etl import extract, normalise, pipeline, settings, state, status_page
from etl.errors import ExpiredRaw
from etl.landing import Landing, Manifest, slice_prefix
from tests import platform_by_hand as platform
from tests.command import run

NOW = datetime.now(UTC)
"""Files are written now. A test asks what has expired some days from now."""

DAY = NOW.date() - timedelta(days=100)
PREFIX = slice_prefix("logs", DAY)


@pytest.fixture(params=["disk", "memory"])
def landing(request: pytest.FixtureRequest, tmp_path: Any) -> Landing:
    """Return an empty landing on a disk, and in fsspec's memory store, which like an object store has no rename."""
    return Landing(f"file://{tmp_path}/landing" if request.param == "disk" else f"memory://{tmp_path}/landing")


@pytest.fixture
def opened(landing: Landing, tmp_path: Any) -> pipeline.Context:
    """Return the context of an installation with one source."""
    configured = settings.Settings.model_construct(
        sources={"logs": settings.Source(format="sendgrid", files="*", since=DAY)},
        warehouse=settings.Warehouse(url=f"duckdb:///{tmp_path}/warehouse.duckdb"),
    )
    ledger = state.open(f"sqlite:///{tmp_path}/state.db", None, {}.get)
    return pipeline.Context(configured, {}.get, landing, ledger, "")


def version(landing: Landing, day: date = DAY, **differing: Any) -> Manifest:
    """Return the manifest of a new version with one raw file and events, which no manifest names yet."""
    prefix, names = slice_prefix("logs", day), [landing.fresh_version() for _ in range(2)]
    raw = landing.store(prefix, f"{names[0]}/raw/0000-a", BytesIO(b"raw"), origin="a")
    landing.store(prefix, f"{names[1]}/events.parquet", BytesIO(b"events"), origin="")
    return Manifest(prefix=prefix, raw=(raw,), events=f"{names[1]}/events.parquet", **{"status": "valid"} | differing)


def load(landing: Landing, manifest: Manifest) -> Manifest:
    """Make a version the newest and the loaded one."""
    landing.publish(manifest)
    landing.mark_loaded(manifest)
    return manifest


def removed(opened: pipeline.Context, days: float, *, dry_run: bool = False) -> dict[str, int]:
    """Return how many files of each kind are removed some days from now; kinds without any are left out."""
    result = pipeline.expire(opened, NOW + timedelta(days=days), dry_run=dry_run)
    return {kind: each["files"] for kind, each in result["removed"].items() if each["files"]}


def kept(landing: Landing) -> set[str]:
    """Return the last name of each file in the landing, but for the manifests and the result."""
    names = {path.rsplit("/", 1)[-1] for path, _ in landing.files()}
    return names - {"newest.json", "loaded.json", "retention.json"}


def test_raw_files_go_after_thirty_days(opened: pipeline.Context, landing: Landing) -> None:
    """The events stay as Parquet; both manifests say that the raw files expired, and what they were."""
    load(landing, version(landing))
    assert removed(opened, 29) == {}
    assert removed(opened, 31) == {"raw": 1}
    assert kept(landing) == {"events.parquet"}
    for manifest in (landing.newest(PREFIX), landing.loaded(PREFIX)):
        assert manifest
        assert (manifest.raw_expired_on, manifest.raw[0].origin) == ((NOW + timedelta(days=31)).date(), "a")
    assert removed(opened, 400) == {}


def test_a_dry_run_changes_nothing(opened: pipeline.Context, landing: Landing) -> None:
    """It counts what the run after it removes."""
    manifest = load(landing, version(landing))
    before = set(landing.files())
    assert removed(opened, 31, dry_run=True) == {"raw": 1}
    assert (set(landing.files()), landing.newest(PREFIX)) == (before, manifest)


def test_what_expired_is_not_read_again(opened: pipeline.Context, landing: Landing) -> None:
    """A run from the landing is refused with both cures, and what is loaded stays."""
    load(landing, version(landing))
    removed(opened, 31)
    with pytest.raises(ExpiredRaw, match=r"without --from-landing .* or load its Parquet with the verb rebuild"):
        extract.reuse_landed(landing, "logs", DAY)
    with pytest.raises(ExpiredRaw):
        source = opened.settings.sources["logs"]
        normalise.normalise_slice(landing, settings.Normalise(), "logs", source, DAY, hash_key="")
    assert landing.loaded(PREFIX)


def test_a_slice_of_which_nothing_is_loaded_keeps_its_raw_files(opened: pipeline.Context, landing: Landing) -> None:
    """They may be all that there is of it, until it is waived."""
    landing.publish(version(landing, status="refused"))
    assert removed(opened, 31) == {}
    assert pipeline.expire(opened, NOW + timedelta(days=31))["kept"] == [PREFIX]
    opened.state.waive("logs", DAY, "never mind", NOW)
    assert removed(opened, 31) == {"raw": 1}


def test_a_slice_whose_parquet_is_gone_keeps_its_raw_files(opened: pipeline.Context, landing: Landing) -> None:
    """They are all that a rebuild has."""
    manifest = load(landing, version(landing))
    landing.remove(landing.path(PREFIX, str(manifest.events)))
    assert removed(opened, 31) == {}


def test_a_version_that_was_never_loaded_stays_beside_a_loaded_one(opened: pipeline.Context, landing: Landing) -> None:
    """A run that was killed before its load is repeated from it; a refused one is not, and goes."""
    landing.mark_loaded(version(landing))
    landing.publish(version(landing, status="extracted"))
    assert removed(opened, 31) == {"raw": 1}
    landing.publish(version(landing, status="refused"))
    assert removed(opened, 31) == {"raw": 1, "superseded": 2}


def test_days_that_a_night_looks_at_again_keep_their_raw_files(opened: pipeline.Context, landing: Landing) -> None:
    """Within the late days of a source, raw files stay however short they are kept."""
    short = opened.settings.model_copy(update={"retention": settings.Retention(raw_days=1)})
    opened = pipeline.Context(short, {}.get, landing, opened.state, "")
    for ago in (0, 3, 4):
        load(landing, version(landing, (NOW + timedelta(days=2)).date() - timedelta(days=ago)))
    assert removed(opened, 2) == {"raw": 1}


def test_old_versions_and_scratch_files_go_after_a_day(opened: pipeline.Context, landing: Landing) -> None:
    """Nobody reads them: versions that no manifest names, of slices and of the registry, and files never finished."""
    load(landing, version(landing))
    version(landing)
    landing.store("registry", "old/raw/0000-a", BytesIO(b"a@example.com"), origin="")
    landing.write(landing.path(f"status.html.{landing.fresh_version()}"), b"half")
    landing.write(landing.path(PREFIX, f"newest.json.{landing.fresh_version()}"), b"half")
    landing.write(
        landing.path("answers", landing.fresh_version(), "0", "part.parquet"), b"of a session that was killed"
    )
    assert removed(opened, 0.5) == {}
    assert removed(opened, 2) == {"superseded": 3, "scratch": 3}


def test_reports_go_after_their_days(opened: pipeline.Context, landing: Landing) -> None:
    """A report goes whole, with the recipients that it lists."""
    for name in ("report.html", "recipients.csv"):
        landing.write(landing.path("reports", "s1", "2026-01", name), b"x")
    assert removed(opened, 399) == {}
    assert removed(opened, 401) == {"reports": 2}


def test_what_is_not_ours_stays(opened: pipeline.Context, landing: Landing) -> None:
    """A file that a person put beside ours is not removed."""
    for path in ("note.txt", "slices/note.txt", "slices/logs/note.txt", "reports/note.txt", "other/a/b/c/d.txt"):
        landing.write(landing.path(*path.split("/")), b"x")
    assert removed(opened, 1000) == {}


def test_a_damaged_manifest_keeps_its_slice_and_no_other(
    opened: pipeline.Context, landing: Landing, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of a slice is removed whose manifest cannot be read."""
    load(landing, version(landing))
    load(landing, version(landing, DAY - timedelta(days=1)))
    landing.write(landing.path(PREFIX, "newest.json"), b"{")
    assert removed(opened, 31) == {"raw": 1}
    assert "nothing of it is removed" in caplog.text


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_killed_run_loses_nothing(opened: pipeline.Context, landing: Landing, after: int, monkeypatch: Any) -> None:
    """Whenever it ends, no manifest names a file that is gone, and the next run removes the rest."""
    load(landing, version(landing))
    writes = iter(range(after))

    def dying(path: str, *arguments: Any) -> None:
        if next(writes, None) is None:
            raise KeyboardInterrupt(path)
        Landing.remove(landing, path) if not arguments else Landing.write(landing, path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(landing, "write", dying)
        patched.setattr(landing, "remove", dying)
        with pytest.raises(KeyboardInterrupt):
            removed(opened, 31)
    assert (landing.newest(PREFIX) or Manifest(prefix="")).raw_expired_on or "0000-a" in kept(landing)
    assert removed(opened, 32) == {"raw": 1}
    assert kept(landing) == {"events.parquet"}


def test_status_says_what_was_removed(opened: pipeline.Context, landing: Landing) -> None:
    """The last run stands in the state of the nights, on the terminal and on the page."""
    assert "retention     never ran" in status_page.text(pipeline.nights_status(opened, NOW))
    load(landing, version(landing))
    removed(opened, 31)
    status = pipeline.nights_status(opened, NOW)
    assert status["retention"]
    assert status["retention"]["removed"]["raw"] == {"files": 1, "bytes": 3}
    assert "raw 1 files, 3 bytes" in status_page.text(status)
    assert "raw 1 files, 3 bytes" in status_page.html(status)


def test_the_command_line_expires_what_is_old(tmp_path: Any) -> None:
    """The verb removes the raw files of a real night; the day is then brought from its source again, not from the landing."""
    configuration = platform.write(tmp_path)
    day = str(platform.ONE)

    def verb(*arguments: str) -> Any:
        return run(configuration, *arguments, HASH_KEY=platform.KEY)

    assert verb("nightly", "--day", day).code == 0
    raw = [path for path in (tmp_path / "landing" / "slices").rglob("raw/*") if path.is_file()]
    old = (NOW - timedelta(days=31)).timestamp()
    for path in raw:
        os.utime(path, (old, old))
    assert f"would be removed: raw {len(raw)} files" in verb("retention", "--dry-run").err
    assert f"removed: raw {len(raw)} files" in verb("retention").err
    assert not [path for path in raw if path.exists()]
    refused = verb("nightly", "--day", day, "--from-landing")
    assert (refused.code, refused.err.count("its raw files expired on")) == (1, 2)
    assert verb("nightly", "--day", day).code == 0
