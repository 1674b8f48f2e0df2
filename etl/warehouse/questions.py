"""Named SQL: a file is one SELECT and is asked for by its stem.

A name in the header line ``-- Reads`` that is another question's stem becomes a common table expression of that
name. That is the only composition there is. A ``<stem>.<engine>.sql`` wins over ``<stem>.sql``.
"""

import re
from functools import cache
from pathlib import Path

_SQL = Path(__file__).parents[2] / "sql"


@cache
def schema(table: str) -> str:
    """The statement that creates a table."""
    return (_SQL / "schema" / f"{table}.sql").read_text()


@cache
def loading(stem: str, engine: str) -> str:
    """The SELECT of ``sql/load`` that gives a table its rows."""
    path = _path(("load",), stem, engine)
    if path is None:
        raise LookupError(f"sql/load has no {stem}.sql")
    return path.read_text()


@cache
def question(stem: str, engine: str) -> str:
    """The whole SELECT that answers a question of ``sql/statistics`` or ``sql/report``."""
    read: dict[str, str] = {}
    _gather(stem, engine, read)
    own = read.pop(stem)
    shared = ",\n".join(f"{name} AS (\n{body})" for name, body in read.items())
    if not shared:
        return own
    rest = own.removeprefix("WITH")
    return f"WITH\n{shared}{',' if rest != own else ''}\n{rest}"


def _gather(stem: str, engine: str, read: dict[str, str]) -> None:
    path = _path(("statistics", "report"), stem, engine)
    if path is None:
        raise LookupError(f"neither sql/statistics nor sql/report has a {stem}.sql")
    text = path.read_text()
    for name in _reads(text):
        if name not in read and _path(("statistics", "report"), name, engine):
            _gather(name, engine, read)
    read[stem] = re.sub(r"\A(--.*\n)+", "", text)


def _reads(text: str) -> list[str]:
    line = re.search(r"^-- Reads +(.+)$", text, re.MULTILINE)
    return line.group(1).split(", ") if line else []


def _path(folders: tuple[str, ...], stem: str, engine: str) -> Path | None:
    names = [Path(folder, f"{stem}{suffix}.sql") for folder in folders for suffix in (f".{engine}", "")]
    return next((_SQL / name for name in names if (_SQL / name).is_file()), None)
