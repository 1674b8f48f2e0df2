"""Versions of a slice are published whole or not at all, on a disk and on an object store."""

import hashlib
import io
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from etl.errors import DamagedFile
from etl.landing import Landing, Manifest, slice_prefix

PREFIX = "slices/mail/2026-03-02"
LATER = timedelta(days=1)


@pytest.fixture(params=["disk", "memory"])
def landing(request, tmp_path):
    """Return an empty landing on a disk, and in fsspec's memory store, which like an object store has no rename."""
    return Landing(f"file://{tmp_path}/landing" if request.param == "disk" else f"memory://{tmp_path}/landing")


def store(landing, content=b"raw", version=None, name="raw/0000-a.json"):
    """Store a version with one raw file, which no manifest names yet."""
    return landing.store(PREFIX, f"{version or landing.fresh_version()}/{name}", io.BytesIO(content), origin="a.json")


def manifest(*raw, **differing):
    """Return a manifest of the prefix."""
    return Manifest(prefix=PREFIX, raw=raw, **differing)


def versions(landing):
    """Return the names in the prefix."""
    return {entry.rsplit("/", 1)[-1] for entry in landing.filesystem.ls(landing.path(PREFIX), detail=False)}


def test_a_slice_has_its_own_prefix():
    """The files of a slice are found by its source and its day."""
    assert slice_prefix("mail", date(2026, 3, 2)) == PREFIX


def test_a_new_prefix_holds_nothing(landing):
    """A first night is no error."""
    assert landing.newest(PREFIX) is None
    assert landing.loaded(PREFIX) is None


def test_a_file_is_stored_byte_for_byte(landing):
    """A raw file is stored unchanged, whatever its bytes are. Its size and SHA-256 are recorded."""
    content = bytes(range(256)) * 40_000
    landed = store(landing, content)
    assert landing.read(landing.path(PREFIX, landed.path)) == content
    assert (landed.size, landed.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_file_is_copied_in_bounded_memory(landing):
    """A log of any size can be landed, since it is never read in one piece."""

    class Endless(io.RawIOBase):
        left, largest = 40 << 20, 0

        def read(self, size=-1):
            assert size > 0
            self.largest, given = max(self.largest, size), min(size, self.left)
            self.left -= given
            return b"x" * given

    stream = Endless()
    assert landing.store(PREFIX, "v/raw", stream, origin="").size == 40 << 20
    assert stream.largest <= 8 << 20


def test_a_version_is_seen_when_its_manifest_is_written_and_not_before(landing):
    """An incomplete version is never read."""
    landed = store(landing)
    assert landing.newest(PREFIX) is None
    landing.publish(manifest(landed))
    assert landing.newest(PREFIX) == manifest(landed)


def test_the_loaded_version_is_named_beside_the_newest(landing):
    """A refused version does not hide the one that the warehouse was loaded from."""
    landing.mark_loaded(good := manifest(store(landing), status="valid"))
    landing.publish(bad := manifest(store(landing), status="refused", reason="12 % rejects"))
    assert (landing.newest(PREFIX), landing.loaded(PREFIX)) == (bad, good)


def test_two_versions_never_share_a_folder(landing):
    """The files of a killed run and of its re-run cannot mix."""
    assert len({landing.fresh_version() for _ in range(1000)}) == 1000


def test_old_folders_that_no_manifest_names_are_swept(landing):
    """Old folders of killed runs are deleted. Named folders, and those that a running job may use, are kept."""
    newest, loaded, orphan = store(landing), store(landing), store(landing)
    landing.publish(manifest(newest))
    landing.mark_loaded(manifest(loaded))
    landing.sweep(PREFIX, before=datetime.now(UTC) - LATER)
    assert orphan.path.split("/")[0] in versions(landing)
    landing.sweep(PREFIX, before=datetime.now(UTC) + LATER)
    kept = {landed.path.split("/")[0] for landed in (newest, loaded)}
    assert versions(landing) == {"newest.json", "loaded.json", *kept}


def test_the_folders_of_events_and_rejects_are_named_too(landing):
    """A version is kept whole: its raw files, its events and its rejects."""
    parts = [store(landing, version=name, name="x.parquet").path for name in ("events", "rejects")]
    landing.publish(manifest(store(landing, version="raw"), events=parts[0], rejects=parts[1]))
    landing.sweep(PREFIX, before=datetime.now(UTC) + LATER)
    assert versions(landing) == {"newest.json", "raw", "events", "rejects"}


def test_sweeping_a_missing_prefix_is_no_error(landing):
    """A slice that never came has nothing to sweep."""
    landing.sweep(PREFIX, before=datetime.now(UTC))
    assert landing.newest(PREFIX) is None


def test_a_local_folder_is_landed_and_read_back(landing):
    """DuckDB writes and reads local files, wherever the landing is."""
    path = landing.path(PREFIX, "v")
    with landing.local_folder(path) as folder:
        (folder / "tables").mkdir()
        (folder / "tables" / "a.parquet").write_bytes(b"rows")
        (folder / "rejects.parquet").write_bytes(b"none")
    with landing.local(f"{path}/tables") as tables, landing.local(f"{path}/rejects.parquet") as rejects:
        assert [file.name for file in tables.iterdir()] == ["a.parquet"]
        assert (tables / "a.parquet").read_bytes() + rejects.read_bytes() == b"rowsnone"


def test_a_folder_whose_writing_failed_is_named_by_no_manifest(landing):
    """A stage that fails half-way leaves the former version in place."""
    landing.publish(former := manifest(store(landing)))
    with pytest.raises(ZeroDivisionError), landing.local_folder(landing.path(PREFIX, "v")) as folder:
        (folder / "events.parquet").write_bytes(b"half")
        raise ZeroDivisionError
    assert landing.newest(PREFIX) == former


KILLED = """
import os, pathlib, signal, sys
from etl.landing import Landing, Manifest
def die(event, arguments):
    if event == sys.argv[2] and "newest" in str(arguments[0]): os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
Landing(sys.argv[1]).publish(Manifest(prefix="slices/mail/2026-03-02", reason="new"))
"""


@pytest.mark.parametrize("moment", ["open", "os.rename"])
def test_a_manifest_whose_writing_is_killed_leaves_the_former_one(tmp_path, moment):
    """A machine that dies while it publishes has published nothing, and a sweep deletes what it left."""
    landing = Landing(f"file://{tmp_path}/landing")
    landing.publish(manifest(reason="former"))
    killed = subprocess.run([sys.executable, "-c", KILLED, f"file://{tmp_path}/landing", moment], check=False)
    assert killed.returncode == -9
    assert landing.newest(PREFIX).reason == "former"
    landing.sweep(PREFIX, before=datetime.now(UTC) + LATER)
    assert versions(landing) == {"newest.json"}


WHOLE = Manifest(prefix="slices/mail/2026-11-02", status="valid").model_dump_json().encode()
DAMAGED = {
    "empty": b"", "cut short": WHOLE[:40], "no JSON": b"<html>", "no text": b"\xff\xfe", "a list": b"[]", "null": b"null",
    "without its prefix": b"{}", "wrong types": WHOLE.replace(b'"raw":[]', b'"raw":7'), "too deep": b"[" * 100_000,
    "an unknown status": WHOLE.replace(b'"valid"', b'"fine"'), "of another slice": WHOLE.replace(b"mail", b"view"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("name", ["newest", "loaded"])
def test_a_damaged_manifest_is_named_with_its_cure(landing, damage, name):
    """The sentence says which file it is, what is wrong with it, and what to do. It quotes nothing of the file."""
    prefix = "slices/mail/2026-11-02"
    landing.write(landing.path(prefix, f"{name}.json"), DAMAGED[damage])
    with pytest.raises(DamagedFile) as caught:
        getattr(landing, name)(prefix)
    assert f"{prefix}/{name}.json is damaged (" in str(caught.value)
    assert "remove it and run again without --from-landing" in str(caught.value)
