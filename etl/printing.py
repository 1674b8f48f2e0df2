"""How the command line prints: tables for people, JSON and CSV for programs, progress on a terminal and plain lines elsewhere."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

T = TypeVar("T")


class Output(StrEnum):
    """The formats that a listing can have."""

    table = "table"
    json = "json"
    csv = "csv"


def print_rows(rows: list[dict[str, Any]], output: Output) -> None:
    """Prints a listing on stdout: one JSON array, CSV with a header, or a table."""
    if output is Output.json:
        json.dump(rows, sys.stdout, default=as_text, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")
    elif output is Output.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(rows[0] if rows else ())
        writer.writerows([_cell(value) for value in row.values()] for row in rows)
    else:
        _print_table(rows)


def as_text(value: Any) -> str:
    """A date as ISO 8601; a time, which is UTC, with Z."""
    if not isinstance(value, datetime):
        return str(value.isoformat() if isinstance(value, date) else value)
    return f"{(value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None).isoformat()}Z"


def say(line: str) -> None:
    """One plain line on stderr."""
    sys.stderr.write(" ".join(line.splitlines()) + "\n")


def progress(steps: Iterable[T], count: int, what: str) -> Iterator[T]:
    """The steps, with a bar on a terminal; elsewhere the caller's own lines say how far the work is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from steps
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        yield from bar.track(steps, total=count, description=what)


def _print_table(rows: list[dict[str, Any]]) -> None:
    console = Console()
    table = Table(*(rows[0] if rows else ("nothing",)), header_style="bold", show_edge=False)
    for row in rows:
        table.add_row(*(str(_cell(value)) for value in row.values()))
    console.print(
        table,
        width=None if console.is_terminal else 20 * max(1, len(table.columns)),
        soft_wrap=not console.is_terminal,
    )


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, dict):
        return json.dumps(value)
    return as_text(value) if isinstance(value, date) else value
