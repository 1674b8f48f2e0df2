"""Runs the command line in a process of its own: mostly forked, since the imports are what takes the time."""

import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import etl.__main__


class Ran(NamedTuple):
    """What became of a command; a negative code is the signal that ended it."""

    code: int
    out: str
    err: str


def run(
    configuration: Path | None, *arguments: str, before: Callable[[], None] = lambda: None, **variables: str
) -> Ran:
    """One command with one configuration, in its folder; ``before`` runs first in its process."""
    if "reports" in arguments[:1]:  # the chart library keeps threads: a fork of a process that has rendered hangs
        return _afresh(configuration, arguments, variables)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            _be(configuration, arguments, before, variables, (out.fileno(), err.fileno()))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return Ran(code, out.read().decode(), err.read().decode())


def _afresh(configuration, arguments, variables):
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("ANALYTICS_")}
    named = {"ANALYTICS_CONFIG": str(configuration)} if configuration else {}
    environment = {**inherited, "PYTHONPATH": str(Path(etl.__file__).parents[1]), **variables, **named}
    folder = configuration.parent if configuration else None
    command = [sys.executable, "-m", "etl", *arguments]
    ended = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def _be(configuration, arguments, before, variables, streams):
    try:
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        for name in [name for name in os.environ if name.startswith("ANALYTICS_")]:
            del os.environ[name]
        os.environ.update(variables)
        if configuration:
            os.environ["ANALYTICS_CONFIG"] = str(configuration)
            os.chdir(configuration.parent)
        before()
        etl.__main__.app(arguments)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001  # what pytest would catch must not come back from a fork
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def die() -> None:
    """Ends the process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
