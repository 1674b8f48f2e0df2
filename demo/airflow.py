"""A separate Airflow for the demo on loopback, and the requests that the demo makes to it.

`python -m demo.airflow`, which `make airflow` calls, shows the runs of the last demo in Airflow's UI.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

HOME = Path(".demo").absolute()
PORT = 8080
URL = f"http://127.0.0.1:{PORT}"
START_SECONDS = 180
RUN_SECONDS = 600
HEARTBEAT_LIMIT = timedelta(minutes=2)


class BusyError(RuntimeError):
    """Airflow is busy and cannot answer the request now (HTTP status 503)."""


def environment() -> dict[str, str]:
    """Return the environment variables of Airflow and the pipeline."""
    project = Path(__file__).parent.parent
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(project),
        "ANALYTICS_CONFIG": str(HOME / "analytics.toml"),
        "AIRFLOW_HOME": str(HOME / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(PORT),
        "AIRFLOW__API__BASE_URL": URL,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{URL}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "2",
    }


def require_free(*ports: int) -> None:
    """End the process with a message if a port on loopback is in use."""
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise SystemExit(f"port {port} is taken; end what listens there, and run again")


def start() -> subprocess.Popen[bytes]:
    """Start `airflow standalone` in the background. Its log is beside its database.

    From then on SIGTERM raises SystemExit in this process, so that the caller's `finally` can stop Airflow.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    (HOME / "airflow").mkdir(parents=True, exist_ok=True)
    with (HOME / "airflow" / "standalone.log").open("ab") as log:
        command = [sys.executable, "-m", "airflow", "standalone"]
        return subprocess.Popen(command, env=environment(), stdout=log, stderr=log, start_new_session=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End Airflow and all its child processes."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, name)
            process.wait(20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def wait_until_up(process: subprocess.Popen[bytes], *dags: str) -> None:
    """Wait until the API answers and Airflow has read the DAGs; raise a RuntimeError after three minutes."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            known = {dag["dag_id"] for dag in ask("GET", "/api/v2/dags")["dags"]}
            if known.issuperset(dags):
                return
        except OSError:
            pass  # it does not answer yet
        time.sleep(1)
    raise RuntimeError(f"Airflow did not come up; see {HOME / 'airflow' / 'standalone.log'}")


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request to Airflow's REST API, and return the answer.

    Raise BusyError for the status 503, and RuntimeError for any other error status.
    """
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {_token()}"}
    request = urllib.request.Request(f"{URL}{path}", content, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        failure = BusyError if error.code == HTTPStatus.SERVICE_UNAVAILABLE else RuntimeError
        raise failure(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:500]}") from error


def wait_for(path: str) -> dict[str, Any]:
    """Wait until a DAG run or a backfill has ended, and return it.

    Raise a RuntimeError if the scheduler stops, or after ten minutes.
    """
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        run: dict[str, Any] = ask("GET", path)
        if run.get("state") in ("success", "failed") or run.get("completed_at"):
            return run
        scheduler = ask("GET", "/api/v2/monitor/health")["scheduler"]
        if datetime.now(UTC) - datetime.fromisoformat(scheduler["latest_scheduler_heartbeat"]) > HEARTBEAT_LIMIT:
            raise RuntimeError(f"Airflow's scheduler died; see {HOME / 'airflow' / 'standalone.log'}, and run again")
        time.sleep(1)
    raise RuntimeError(f"{path} has not ended after {RUN_SECONDS} seconds; look at {URL}")


def _token() -> str:
    with urllib.request.urlopen(f"{URL}/auth/token", timeout=30) as answer:
        return str(json.load(answer)["access_token"])


def main() -> int:
    """Show the UI until it is interrupted. Return 1 if there is no demo to show."""
    if not (HOME / "analytics.toml").is_file():
        print("run `make demo` first: it makes the data that the UI shows", file=sys.stderr)
        return 1
    require_free(PORT)
    process = start()
    try:
        wait_until_up(process)
        print(f"Airflow shows its runs at {URL} (Ctrl-C ends it)")
        process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        stop(process)
    return 0


if __name__ == "__main__":
    sys.exit(main())
