"""Print for the command line: tables for people, JSON and CSV for programs, a progress bar on a terminal."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Output(StrEnum):
    """The formats in which a listing can be printed."""

    table = "table"
    json = "json"
    csv = "csv"


class StatusOutput(StrEnum):
    """The formats in which the state of the nights can be printed."""

    table = "table"
    json = "json"


def print_rows(rows: list[dict[str, Any]], output: Output) -> None:
    """Print a listing on stdout: one JSON array, CSV with a header, or a table."""
    if output is Output.json:
        json.dump(rows, sys.stdout, default=as_text, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")
    elif output is Output.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([rows[0]] if rows else [])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)
    else:
        _print_table(rows)


def as_text(value: Any) -> str:
    """Return a date as ISO 8601, a timestamp in UTC with ``Z``, and any other value as ``str`` does.

    A naive timestamp is taken as UTC.
    """
    if not isinstance(value, datetime):
        return str(value.isoformat() if isinstance(value, date) else value)
    return f"{(value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None).isoformat()}Z"


def say(line: str) -> None:
    """Print one plain line on stderr."""
    sys.stderr.write(" ".join(line.splitlines()) + "\n")


@contextmanager
def progress(count: int, what: str) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal until the block ends; yield the function that advances it by one.

    Where stderr is no terminal, show nothing: the lines that the caller prints show the progress.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=count)
        yield lambda: bar.advance(task)


def _print_table(rows: list[dict[str, Any]]) -> None:
    """Print a table whose columns are as wide as their longest value. Nothing is cut: a line may exceed the window."""
    shown = [_shown(row) for row in rows]
    columns = {name: [name, *(row[name] for row in shown)] for name in (shown[0] if shown else ("nothing",))}
    widths = {name: max(map(cell_len, texts)) for name, texts in columns.items()}
    numbers = {name for name in columns if any(isinstance(row.get(name, 0), int | float) for row in rows)}
    for line in zip(*columns.values(), strict=True):
        fields = [_padded(text, widths[name], name in numbers) for name, text in zip(columns, line, strict=True)]
        sys.stdout.write("  ".join(fields).rstrip() + "\n")


def _padded(text: str, width: int, is_number: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if is_number else text + space


def _shown(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of a row by column name, with a count and its rate in one column."""
    shown: dict[str, str] = {}
    for name, value in row.items():
        stem = name.removesuffix("_count")
        if f"{stem}_rate" in row and stem != name:
            shown[stem] = f"{value}  {_percent(row[f'{stem}_rate']):>7}"
        elif not (name.endswith("_rate") and name.removesuffix("_rate") in shown):
            shown[name] = _word(value)
    return shown


def _percent(rate: float | None) -> str:
    if rate is None:
        return "–"  # noqa: RUF001
    return f"{(100 * Decimal(str(rate))).quantize(Decimal('0.1'), ROUND_HALF_UP)} %"


def _word(value: Any) -> str:
    """Return a cell of a table: one line, without control characters, which could change the terminal."""
    if isinstance(value, dict):
        value = ", ".join(f"{key} {part}" for key, part in value.items())
    return "".join(sign if sign.isprintable() else " " for sign in str(_cell(value)))


def _cell(value: Any) -> Any:
    """Return a cell of CSV: an empty text for NULL, ``true`` or ``false``, JSON for an object."""
    if value is None:
        return ""
    if isinstance(value, bool | dict):
        return json.dumps(value)
    return as_text(value) if isinstance(value, date) else value
