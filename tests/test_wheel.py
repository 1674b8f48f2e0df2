"""The built wheel in a separate environment: what `pip install` brings is all that a night and a report need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import platform_by_hand as platform

ROOT = Path(__file__).parent.parent
UV = (sys.executable, "-m", "uv")


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program far from the checkout, so that nothing of it can be imported."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of an environment with the wheel and the locked versions of what it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    programs, locked = folder / "environment" / "bin", folder / "requirements.txt"

    def uv(*arguments: str | Path) -> None:
        done = run(*UV, *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr

    uv("build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    needs = ("--no-dev", "--no-emit-project", "--no-hashes")
    uv("export", "--quiet", "--frozen", *needs, "--project", ROOT, "--output-file", locked)
    uv("venv", "--quiet", "--python", sys.executable, folder / "environment")
    uv("pip", "install", "--quiet", "--python", programs / "python", "--requirement", locked, wheel)
    return programs


def test_a_night_and_a_report_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """The command, the SQL and the templates are installed with it. The checkout is not used."""
    configuration = platform.write(tmp_path / "platform")
    variables = {"ANALYTICS_CONFIG": str(configuration), "HASH_KEY": platform.KEY}
    first, last = (str(day) for day in platform.DAYS)
    command = installed / "certificate-analytics"
    night = run(command, "nightly", "--day", first, "--to", last, cwd=tmp_path, **variables)
    assert night.returncode == 0, night.stderr
    report = run(command, "reports", "--period", first, "--output", "out", cwd=tmp_path, **variables)
    assert report.returncode == 0, report.stderr
    assert list((tmp_path / "out").rglob("report.pdf"))


def test_the_dags_come_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Airflow finds them in the folder of the package. Airflow itself is an extra and is not installed with it."""
    found = run(installed / "python", "-c", "import dags; print(dags.__path__[0])", cwd=tmp_path)
    assert {"nightly_events.py", "issuer_reports.py"} <= {path.name for path in Path(found.stdout.strip()).iterdir()}
    assert run(installed / "python", "-c", "import airflow", cwd=tmp_path).returncode == 1
