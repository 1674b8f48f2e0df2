"""Find a named SQL file by its stem, compose it, and check its parameters. All SQL is read through this module.

A file is one SELECT. Its FROM and JOIN say what it reads, its ``:name`` and ``GETVARIABLE('name')`` what it binds;
comments are never parsed. The headers are for people, and a test holds them against the code.

``compose`` serves the warehouse: a name in FROM or JOIN that is the stem of another file becomes a common table
expression. ``read`` serves the stages that run on DuckDB only and define their own views.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from etl import resources
from etl.errors import QueryError

ROOT = resources.folder("sql")
COMPOSED = ("statistics", "report", "load")
"""The folders whose files may read one another. A stem exists in one of them only."""

_STRING_OR_COMMENT = re.compile(r"'(?:[^']|'')*'|--[^\n]*")
_READ = re.compile(r"\b(?:FROM|JOIN)\s+([a-z_][a-z0-9_]*)\b(?!\s*\()")
_CTE = re.compile(r"\b([a-z_][a-z0-9_]*)\s+AS\s+(?:(?:NOT\s+)?MATERIALIZED\s+)?\(")
_BIND = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_VARIABLE = re.compile(r"\bGETVARIABLE\('([a-z_][a-z0-9_]*)'\)")


@dataclass(frozen=True)
class Query:
    """One statement, ready to run: ``reads`` names its tables and views, ``params`` the parameters that it binds."""

    stem: str
    text: str
    reads: frozenset[str]
    params: frozenset[str]

    def require(self, given: Collection[str]) -> None:
        """Raise a QueryError where a parameter is not given: DuckDB would take a missing variable for NULL."""
        if missing := sorted(self.params - set(given)):
            raise QueryError(f"the query {self.stem} needs the parameter {missing[0]}, which is not given")

    def check(self, given: Collection[str]) -> None:
        """Raise a QueryError where a parameter is not given, or something is given that the query does not bind."""
        self.require(given)
        if unknown := sorted(set(given) - self.params):
            raise QueryError(f"the query {self.stem} has no parameter {unknown[0]}")


@cache
def read(folder: str, stem: str, root: Path = ROOT) -> Query:
    """Return the file ``<folder>/<stem>.sql`` as it is, without its comments."""
    return _parsed(root / folder / f"{stem}.sql")


@cache
def params(folder: str, root: Path = ROOT) -> frozenset[str]:
    """Return every parameter that the files of a folder, and of the folders in it, bind."""
    return frozenset().union(*(_parsed(path).params for path in (root / folder).rglob("*.sql")))


@cache
def tables(root: Path = ROOT) -> frozenset[str]:
    """Return the names of the warehouse's tables: the stems of ``sql/schema``."""
    return frozenset(path.stem for path in (root / "schema").glob("*.sql"))


@cache
def columns(table: str, root: Path = ROOT) -> Mapping[str, str]:
    """Return the columns of a table of the warehouse with their types, as ``sql/schema`` declares them: a line each."""
    declared = re.findall(r"(?m)^    ([a-z_]+) ([A-Z]+(?: PRECISION)?)", read("schema", table, root).text)
    return dict(declared)


@cache
def compose(stem: str, engine: str, root: Path = ROOT, apart: frozenset[str] = frozenset()) -> Query:
    """Return a query of the warehouse with all queries that it reads, as common table expressions, but those set apart.

    ``<stem>.<engine>.sql`` is taken before ``<stem>.sql``. Raise a QueryError where neither exists, where a query outside
    ``sql/load`` has the name of a table, or where queries read one another in a circle.
    """
    parts: dict[str, Query] = {}
    _gather(stem, engine, root, parts, apart, path=())
    own = parts.pop(stem)
    needed = frozenset().union(own.reads, *(part.reads for part in parts.values())) - parts.keys()
    bound = frozenset().union(own.params, *(part.params for part in parts.values()))
    expressions = ",\n".join(f"{name} AS (\n{part.text})" for name, part in parts.items())
    if not expressions:
        return own
    rest = own.text.removeprefix("WITH")
    text = f"WITH\n{expressions}{',' if rest != own.text else ''}\n{rest}"
    return replace(own, text=text, reads=needed, params=bound)


def _gather(
    stem: str, engine: str, root: Path, parts: dict[str, Query], apart: frozenset[str], path: tuple[str, ...]
) -> None:
    """Add to ``parts`` all queries that a query reads, then the query."""
    if stem in path:
        raise QueryError(f"queries read one another in a circle: {' → '.join((*path, stem))}")
    found = _find(stem, engine, root)
    if found is None:
        raise QueryError(f"there is no query {stem} in {', '.join(COMPOSED)}")
    if stem in tables(root) and found.parent.name != "load":
        raise QueryError(f"the query {found.parent.name}/{found.name} has the name of a table; rename it")
    query = _parsed(found)
    for name in sorted(query.reads - tables(root) - parts.keys() - apart):
        if _find(name, engine, root):
            _gather(name, engine, root, parts, apart, (*path, stem))
    parts[stem] = query


def _find(stem: str, engine: str, root: Path) -> Path | None:
    names = [root / folder / f"{stem}{suffix}.sql" for folder in COMPOSED for suffix in (f".{engine}", "")]
    return next((name for name in names if name.is_file()), None)


@cache
def _parsed(path: Path) -> Query:
    if not path.is_file():
        raise QueryError(f"there is no SQL file {path}")
    text = _STRING_OR_COMMENT.sub(lambda found: "" if found[0].startswith("--") else found[0], path.read_text())
    text = re.sub(r"[ \t]*\n(?:[ \t]*\n)+", "\n", text).strip() + "\n"
    code = _STRING_OR_COMMENT.sub("''", text)
    return Query(
        stem=path.name.split(".")[0],
        text=text,
        reads=frozenset(_READ.findall(code)) - frozenset(_CTE.findall(code)),
        params=frozenset(_BIND.findall(code)) | frozenset(_VARIABLE.findall(text)),
    )
