"""Temporary folders: for their owner only, gone at the end, and removed by the next run where the process was killed."""

import os
import stat
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from etl import scratch
from tests import platform_by_hand as platform
from tests.command import die, run

ONE = platform.DAYS[0]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Return an empty temporary directory that is in use for the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_a_folder_is_for_its_owner_and_ends_with_its_block(temporary):
    """Staged records hold addresses."""
    with scratch.folder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "records").write_text("person@example.com")
        assert (folder.parent, stat.S_IMODE(folder.stat().st_mode)) == (temporary, 0o700)
    assert list(temporary.iterdir()) == []


def test_a_sweep_leaves_what_is_in_use_and_what_is_not_ours(temporary):
    """Another night may be at work beside this one, and other programs use the same directory."""
    (temporary / "tmp1234").mkdir()
    (temporary / f"{scratch.PREFIX}file").write_text("no folder of ours")
    (temporary / f"{scratch.PREFIX}link").symlink_to(temporary / "tmp1234")
    with scratch.folder() as folder:
        scratch.sweep()
        assert {path.name for path in temporary.iterdir()} == {
            "tmp1234", f"{scratch.PREFIX}file", f"{scratch.PREFIX}link", folder.name,
        }  # fmt: skip


def test_the_folder_of_a_killed_process_is_swept(temporary):
    """The lock ends with its process, so the folder is removed at once and not after a day."""
    code = "import os, signal; from etl import scratch\nwith scratch.folder() as f: (f / 'x').touch(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    (left,) = temporary.iterdir()
    assert [path.name for path in left.iterdir()] == ["x"]
    scratch.sweep()
    assert list(temporary.iterdir()) == []


def begin(temporary, *, is_killed=False):
    """Use a temporary directory, and end the process as a power cut would once the records are staged."""
    from etl import normalise

    tempfile.tempdir = str(temporary)
    if is_killed:
        normalise._write_parquet = lambda *_, **__: die()


@pytest.mark.parametrize(
    "verb", [("nightly", "--day", str(ONE)), ("normalise", "--format", "sendgrid", "nothing.json")]
)
def test_the_run_after_a_killed_night_leaves_nothing(tmp_path, verb):
    """Every verb sweeps, so that no records stay behind until a night succeeds."""
    configuration = platform.write(tmp_path / "platform")
    (temporary := tmp_path / "temporary").mkdir()
    night = ("nightly", "--day", str(ONE))
    killed = run(configuration, *night, before=partial(begin, temporary, is_killed=True), HASH_KEY=platform.KEY)
    assert (killed.code, len(list(temporary.iterdir()))) == (-9, 1)
    assert "Traceback" not in run(configuration, *verb, before=partial(begin, temporary), HASH_KEY=platform.KEY).err
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_every_file_is_for_its_owner(tmp_path, umask):
    """After a night, a report and a listing, no other user can read a file. A folder of the user's keeps its mode."""
    configuration = platform.write(tmp_path / "platform")
    folder = configuration.parent
    before = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    night = partial(run, configuration, before=partial(os.umask, umask), HASH_KEY=platform.KEY)
    assert night("nightly", "--day", str(ONE), "--to", str(platform.DAYS[1])).code == 0
    assert night("reports", "--period", str(ONE), "--output", "out/reports").code == 0
    assert night("normalise", "--format", "nginx_combined", "--rejects", "rejects", f"access.log-{ONE}").code == 0
    made = {path.relative_to(folder): path.stat().st_mode for path in folder.rglob("*") if path not in before}
    assert {name.parts[0] for name in made} >= {"landing", "out", "rejects", "state.db", "warehouse.duckdb"}
    assert [name for name, mode in made.items() if mode & 0o077] == []
    assert {path: path.stat().st_mode for path in before} == before
