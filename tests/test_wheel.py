"""The built wheel in an environment of its own: what `pip install` brings is all that a night and a report need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    """The folder of an environment's programs, with the wheel and the locked versions of what it needs."""
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
