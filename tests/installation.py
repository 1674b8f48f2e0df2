"""A real Airflow on loopback: API server, scheduler, DAG processor and triggerer over PostgreSQL, with LocalExecutor."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres_server import free_port

ROOT = Path(__file__).parent.parent
DAGS = ("nightly_events", "issuer_reports", "data_retention")
COMPONENTS = ("scheduler", "dag-processor", "triggerer")
PATIENCE_SECONDS = 900


@dataclass
class Installation:
    """A running Airflow over a platform's folder."""

    folder: Path
    port: int
    environment: dict[str, str]
    _token: str = field(default="", init=False)

    def airflow(self, *arguments: str) -> None:
        """Run a command of Airflow."""
        command = [sys.executable, "-m", "airflow", *arguments]
        run = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return an answer of the API that the UI uses."""
        self._token = self._token or self._request("/auth/token", None, {})["access_token"]
        return self._request(f"/api/v2/{path}", body, {"Authorization": f"Bearer {self._token}"})

    def backfill(self, first: str, last: str) -> list[dict[str, Any]]:
        """Backfill nightly_events as its notes say, wait, and return the runs in order."""
        span = ("--from-date", first, "--to-date", last)
        self.airflow("backfill", "create", "--dag-id", "nightly_events", *span, "--reprocess-behavior", "completed")
        return self.finished("nightly_events", logical_date_gte=first, logical_date_lte=last)

    def by_hand(self, dag: str = "issuer_reports", dated: str | None = None, **form: Any) -> dict[str, Any]:
        """Trigger a DAG with the form filled in, wait, and return the run."""
        run = self.ask(f"dags/{dag}/dagRuns", {"logical_date": dated, "conf": form})
        return next(each for each in self.finished(dag) if each["dag_run_id"] == run["dag_run_id"])

    def cleared(self, run: dict[str, Any], **what: Any) -> dict[str, Any]:
        """Clear tasks of a run as the UI does, wait, and return the run."""
        body = {"dry_run": False, "reset_dag_runs": True, "dag_run_id": run["dag_run_id"], **what}
        assert self.ask(f"dags/{run['dag_id']}/clearTaskInstances", body)["task_instances"]
        return next(each for each in self.finished(run["dag_id"]) if each["dag_run_id"] == run["dag_run_id"])

    def finished(self, dag: str, **filters: str) -> list[dict[str, Any]]:
        """Wait until all runs of a DAG have ended. Return them by logical date, each with the state of its tasks."""
        query = "&".join(("order_by=logical_date", *(f"{name}={value}T00:00:00Z" for name, value in filters.items())))
        runs = self.until(
            lambda: self.ask(f"dags/{dag}/dagRuns?{query}")["dag_runs"],
            lambda runs: runs and all(run["state"] in ("success", "failed") for run in runs),
        )
        return [run | {"tasks": self._tasks(run)} for run in runs]

    def _tasks(self, run: dict[str, Any]) -> dict[str, str]:
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances?limit=100"
        return {shown(task): task["state"] for task in self.ask(path)["task_instances"]}

    def log(self, run: dict[str, Any], task: str) -> str:
        """Return the log of a task's first try."""
        return str(self.ask(f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task}/logs/1"))

    def lines(self, run: dict[str, Any], task: str, index: int = -1) -> list[dict[str, Any]]:
        """Return the lines of the log of a task's first try, without the marks that fold them in the UI."""
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task}/logs/1?map_index={index}"
        content: list[dict[str, Any]] = self.ask(path)["content"]
        return [line for line in content if not line["event"].startswith(("::group::", "::endgroup::"))]

    def until(self, look: Any, is_enough: Any) -> Any:
        """Repeat ``look`` until its result ``is_enough``, and return it. Raise TimeoutError after PATIENCE_SECONDS."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not is_enough(found := look()):
            if time.monotonic() > end:
                raise TimeoutError(f"still {found}")
            time.sleep(1)
        return found

    def _request(self, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", content, {"Content-Type": "application/json", **headers}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        """Tell whether the API answers."""
        try:
            return bool(self._request("/api/v2/version", None, {}))
        except OSError:
            return False

    def is_up(self) -> bool:
        """Tell whether all DAGs are parsed."""
        return {dag["dag_id"] for dag in self.ask("dags")["dags"]} >= set(DAGS)


def shown(task: dict[str, Any]) -> str:
    """Return the name of a task as the grid shows it: with the name of its map index."""
    index = task["rendered_map_index"]
    return f"{task['task_id']} [{index}]" if index else str(task["task_id"])


@contextmanager
def running(folder: Path, server: int, **variables: str) -> Iterator[Installation]:
    """Run Airflow over the configuration in a folder until the block ends. Its DAGs are parsed and not paused.

    Its metadata are in a database of their own, named as the folder, on the PostgreSQL server at that port.
    """
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{folder.name}"')
    database = f"postgresql+psycopg2://postgres@127.0.0.1:{server}/{folder.name}"
    port = free_port()
    one = Installation(folder, port, _environment(folder, port, database) | variables)
    with ExitStack() as stack:
        one.airflow("db", "migrate")
        stack.enter_context(_running(one, "api-server"))
        one.until(one.answers, bool)
        for component in COMPONENTS:
            stack.enter_context(_running(one, component))
        one.airflow("pools", "set", "warehouse", "1", "tasks that open the warehouse")
        one.until(one.is_up, bool)
        yield one


def _environment(folder: Path, port: int, database: str) -> dict[str, str]:
    address = f"http://127.0.0.1:{port}"
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "ANALYTICS_CONFIG": str(folder / "analytics.toml"),
        "AIRFLOW_CONN_HASHES": "generic://:of-the-tests-alone@",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__SECRET_KEY": "of the tests alone",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of the tests alone, and long enough to sign with",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "3",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__OPERATORS__DEFAULT_OWNER": "analysts",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


@contextmanager
def _running(installation: Installation, component: str) -> Iterator[None]:
    """Run a component of Airflow with all its workers until the block ends."""
    command = [sys.executable, "-m", "airflow", component]
    with (installation.folder / f"{component}.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env=installation.environment,
            cwd=installation.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
