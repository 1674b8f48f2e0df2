"""Start the servers that speak Spark Connect for the tests: Sail in a process, and a Spark standalone cluster on loopback."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.postgres_server import free_port

SAIL = """
import sys
from pysail.spark import SparkConnectServer
server = SparkConnectServer(port=int(sys.argv[1]))
server.start(background=True)
sys.stdin.read()  # until the tests end, however they do
"""
PATIENCE_SECONDS = 300

QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
"""Options of each JVM. Tests are short, so that to compile much costs more than it brings."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster: the URL of its Connect server, the server's process, and those of the workers."""

    url: str
    server: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def sail() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a Sail server until the block ends; yield its URL and its process."""
    port = free_port()
    with tempfile.TemporaryFile() as log, _process([sys.executable, "-c", SAIL, str(port)], log, {}) as server:
        _await(port, server, log)
        yield f"sc://127.0.0.1:{port}", server


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a master, two workers of one core each, and a Connect server until the block ends."""
    home = Path(find_spec("pyspark").origin).parent  # type: ignore[union-attr,arg-type]
    master, connect = free_port(), free_port()
    address = f"spark://127.0.0.1:{master}"
    settings = {
        "spark.master": address,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(connect),
        "spark.driver.extraJavaOptions": QUICK_START,
        "spark.executor.extraJavaOptions": QUICK_START,
        "spark.executor.memory": "640m",
        "spark.executor.cores": "1",
        "spark.sql.shuffle.partitions": "2",
        "spark.scheduler.mode": "FAIR",
        "spark.ui.enabled": "false",
    }
    options = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spark-"))
        log = stack.enter_context(tempfile.TemporaryFile())

        def start(*arguments: str, **more: str) -> subprocess.Popen[bytes]:
            environment = {"SPARK_HOME": str(home), "SPARK_LOCAL_DIRS": folder, "SPARK_LOCAL_IP": "127.0.0.1"} | more
            return stack.enter_context(_process([str(home / "bin/spark-class"), *arguments], log, environment))

        deploy = "org.apache.spark.deploy"
        daemon = {"SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": QUICK_START}
        of_master = ("--host", "127.0.0.1", "--port", str(master), "--webui-port", "0")
        first = start(f"{deploy}.master.Master", *of_master, **daemon)
        of_worker = ("--host", "127.0.0.1", "-c", "1", "-m", "700m", "--webui-port", "0", "-d", folder, address)
        _await(master, first, log)
        workers = [start(f"{deploy}.worker.Worker", *of_worker, **daemon) for _ in range(2)]
        server = start(
            f"{deploy}.SparkSubmit", *options, "--driver-memory", "1g",
            "--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal",
        )  # fmt: skip
        _await(connect, server, log)
        yield Cluster(f"sc://127.0.0.1:{connect}", server, workers)


@contextmanager
def _process(command: list[str], log: object, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process and all that it starts until the block ends."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | environment,
        start_new_session=True,
    )  # type: ignore[call-overload]
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _await(port: int, process: subprocess.Popen[bytes], log: object) -> None:
    """Wait until a server listens. Raise RuntimeError with the end of its log where it does not."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with closing(socket.socket()) as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    log.seek(0)  # type: ignore[attr-defined]
    raise RuntimeError(f"a server of Spark did not start: {log.read()[-2000:].decode()}")  # type: ignore[attr-defined]
