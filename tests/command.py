"""Run the command line in a separate process, forked from one that has only imported modules: imports take the time.

Forking a process that has already rendered or queried hangs or crashes: the fork has the locks of the parent's threads,
but not the threads. So each pytest process has a fork server, which is kept at a single thread.
"""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

_CLEAN = multiprocessing.get_context("forkserver")
# The slow imports of etl.__main__. It is left out itself: it imports duckdb, which opens a database and starts a thread.
_SLOW = ["great_expectations", "etl.render", "etl.state", "etl.printing", "typer.rich_utils", "crawlerdetect", "s3fs"]
_CLEAN.set_forkserver_preload(_SLOW)
_SINGLE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


class Ran(NamedTuple):
    """The result of a command. A negative code is the signal that ended it."""

    code: int
    out: str
    err: str


def run(configuration: Path | None, *arguments: str, before: Callable[[], None] | None = None, **variables: str) -> Ran:
    """Run a command with one configuration, in its folder. ``before`` is pickled and runs first in the new process."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("ANALYTICS_")}
    named = {"ANALYTICS_CONFIG": str(configuration)} if configuration else {}
    folder = configuration.parent if configuration else Path.cwd()
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        environment, streams = {**inherited, **variables, **named}, (out.name, err.name)
        child = _CLEAN.Process(target=_run_app, args=(folder, arguments, before, environment, streams))
        with patch.dict(os.environ, _SINGLE_THREAD):  # the first child starts the server
            child.start()
        child.join()
        return Ran(child.exitcode, out.read().decode(), err.read().decode())


def _run_app(folder, arguments, before, environment, streams):
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if before:
        before()
    from etl.__main__ import app

    app(arguments)


def die() -> None:
    """End the process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
