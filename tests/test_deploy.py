"""The image and the compose file: no Docker is at hand, so linters and the promises of each line are held here."""

import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from airflow.configuration import conf

from etl import settings

DEPLOY = Path("deploy")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
AIRFLOW = {name: each for name, each in SERVICES.items() if "build" in each}
ONCE = {"bucket", "prepare"}
"""The services that end after they have done their work."""


def test_the_dockerfile_has_no_finding_of_its_linter() -> None:
    """Hadolint knows what fails or grows in an image."""
    linter = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_the_image_has_the_airflow_of_the_tests() -> None:
    """The version is that of the lock, and Pango is installed as `make system-packages` does."""
    dockerfile, project = (DEPLOY / "Dockerfile").read_text(), tomllib.loads(Path("pyproject.toml").read_text())
    (pinned,) = (each for each in project["tool"]["uv"]["constraint-dependencies"] if each.startswith("apache-airflow"))
    assert f"FROM apache/airflow:{pinned.split('==')[1]}-python3.11" in dockerfile
    wanted = re.findall(
        r"lib[a-z]+[a-z0-9.-]*-[a-z0-9]+", dockerfile.split("--no-install-recommends")[1].split("\n")[0]
    )
    assert set(wanted) == {
        name for name in Path("Makefile").read_text().split() if name.startswith("lib") and "-" in name
    }
    assert "airflow-postgres" in project["project"]["optional-dependencies"]
    assert "--extra airflow-postgres" in dockerfile


def test_the_compose_file_follows_the_specification() -> None:
    """Each key is one that Docker knows. The schema is the one of compose-spec, as check-jsonschema ships it."""
    schema = yaml.safe_load(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(COMPOSE, schema)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_and_watched(name: str) -> None:
    """No image changes by itself, what runs on has a health check, and no port is open beyond this host."""
    service = SERVICES[name]
    assert re.search(r":[A-Za-z.]*\d+[.\d]", service["image"]), service["image"]
    assert ("healthcheck" in service) is (name not in ONCE)
    assert [port for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_volume_and_service_that_is_named_exists(name: str) -> None:
    """What is kept lies in a declared volume, or in a file beside the compose file."""
    service = SERVICES[name]
    for source in (each.split(":")[0] for each in service.get("volumes", ())):
        assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), source
    assert set(service.get("depends_on", ())) <= set(SERVICES)


def test_airflow_runs_as_in_the_tests() -> None:
    """All four processes run, with LocalExecutor over PostgreSQL, each under a configuration that Airflow knows."""
    assert {str(each["command"]) for each in AIRFLOW.values()} >= {
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer",
    }
    for service in AIRFLOW.values():
        variables = service["environment"]
        assert variables["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
        assert variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql+psycopg2://")
        named = [name.split("__")[1:] for name in variables if name.startswith("AIRFLOW__")]
        assert [(section, key) for section, key in named if (section.lower(), key.lower()) not in _KNOWN] == []


_KNOWN = {
    (section, key.lower())
    for section, described in conf.configuration_description.items()
    for key in described["options"]
}


def test_its_configuration_is_read_and_each_secret_is_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example has no unknown key, and every secret that it names is given to Airflow."""
    monkeypatch.setenv("ANALYTICS_CONFIG", str(DEPLOY / "analytics.toml"))
    read = settings.load()
    secrets = re.findall(r'^secret = "(\w+)"', (DEPLOY / "analytics.toml").read_text(), re.MULTILINE)
    for service in AIRFLOW.values():
        assert {f"AIRFLOW_CONN_{name}" for name in secrets} <= set(service["environment"])
    assert read.warehouse.url.startswith("postgresql+psycopg://")
    assert str(read.state_url).startswith("postgresql+psycopg://")


def test_every_variable_of_the_compose_file_is_explained() -> None:
    """Whoever writes .env finds each name in the file's head, and in the documentation."""
    text, operations = (DEPLOY / "compose.yaml").read_text(), Path("docs/operations.md").read_text()
    head = text.split("name:")[0]
    for name in set(re.findall(r"\$\{([A-Z_]+)", text)):
        assert name in head, name
        assert f"`{name}`" in operations, name
