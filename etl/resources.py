"""Find the files that the code reads: SQL and report templates.

In a checkout they are beside ``etl/``. In an installed wheel they are in ``etl/resources/``.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """Return the folder ``sql`` or ``report_templates``."""
    installed = _PACKAGE / "resources" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
