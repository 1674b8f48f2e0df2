"""Make temporary folders, and remove those that killed processes of ours have left.

A folder is locked while its process lives, and the system lifts the lock when the process ends, however it ends. So a
folder of ours that nobody locks is a leftover. It may hold staged records with addresses.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "certificate-analytics-"


@contextmanager
def folder() -> Iterator[Path]:
    """Yield an empty folder that only its owner can read, and remove it with all that it holds when the block ends."""
    path, lock = _made()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def sweep() -> None:
    """Remove the folders of this user that no living process holds. One that cannot be removed is left."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process may hold it, or be removing it as well
            if path.lstat().st_uid == os.geteuid():
                lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(lock)


def _made() -> tuple[Path, int]:
    """Return a new folder and the handle of its lock. Make another where a sweep removed it before it was locked."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)
