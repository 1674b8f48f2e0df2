"""A PostgreSQL server on loopback, of the binaries that the system has."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path


@contextmanager
def serving() -> Iterator[int]:
    """Run a server until the block ends, and yield its port. Anybody on this machine is let in as ``postgres``."""
    binaries = _binaries()
    root = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = "postgres" if os.geteuid() == 0 else None  # initdb and the server refuse to run as root
    if user:
        os.chown(root, pwd.getpwnam(user).pw_uid, -1)
    run = partial(subprocess.run, user=user, check=True, cwd=root, stdout=subprocess.DEVNULL)
    port = free_port()
    options = f"-p {port} -k {root} -c listen_addresses=127.0.0.1 -c fsync=off -c timezone=Asia/Tokyo"
    run([binaries / "initdb", "-D", root / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"])
    run([binaries / "pg_ctl", "-D", root / "data", "-w", "-l", root / "log", "-o", options, "start"])
    try:
        yield port
    finally:
        run([binaries / "pg_ctl", "-D", root / "data", "-m", "immediate", "stop"])
        shutil.rmtree(root)


def free_port() -> int:
    """Return a free port on loopback."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _binaries() -> Path:
    """Return the folder of initdb. Raise RuntimeError without one, since the product promises to run on PostgreSQL."""
    config = shutil.which("pg_config")
    named = (
        subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        if config
        else ""
    )
    candidates = [Path(named), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = next((folder for folder in candidates if (folder / "initdb").is_file()), None)
    if found is None:
        raise RuntimeError("no PostgreSQL server found; install it (Debian: apt-get install postgresql)")
    return found
