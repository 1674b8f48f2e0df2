"""Measure events per second of every format, against bare DuckDB that reads the same file into a table on disk.

The file repeats the payloads of the format's cases. A second file is the same, but each thousandth line is cut in half. Run
it as `python -m benchmarks.formats [--records 500000]`.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from itertools import cycle, islice
from pathlib import Path

import duckdb
import yaml

from etl import normalise
from etl.settings import Source

_WHOLE_LINES = {
    "sep": "\x01",
    "quotechar": "",
    "escapechar": "",
    "header": False,
    "auto_detect": False,
    "strict_mode": False,
}
_COMBINED = r"""REGEXP_EXTRACT(
    line, '^(\S+) \S+ (\S+) \[([^]]+)\] "([^"]*)" (\d+) (\S+) "([^"]*)" "([^"]*)"',
    ['ip', 'user', 'moment', 'request', 'status', 'size', 'referrer', 'agent']
) AS field"""
_FIELDS = {
    "nginx_combined": _COMBINED,
    "apache_combined": _COMBINED,
    "alb": r"""REGEXP_EXTRACT(
        line, '^(\S+) (\S+) (\S+) (\S+) .*? (\d+|-) (\d+|-) (\d+) (\d+) "([^"]*)" "([^"]*)" (\S+) (\S+) (\S+) "([^"]*)"',
        ['kind', 'moment', 'balancer', 'ip', 'status', 'target_status', 'received', 'sent', 'request', 'agent', 'cipher',
        'protocol', 'group', 'trace']
    ) AS field""",
    "cloudfront": r"STRING_SPLIT(line, E'\t') AS field",
}
"""What bare DuckDB takes from each line of an access log."""

ONE_DAMAGED_IN = 1_000
CASES = Path(__file__).parents[1] / "tests" / "cases" / "normalise"


def main() -> None:
    """Print a line for each format: lines per second of the pipeline, also of the damaged file, and of bare DuckDB.

    The ratio is that of the pipeline to bare DuckDB on the undamaged file. All are medians.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'format':<18}{'ours, 1/s':>12}{'damaged':>12}{'bare, 1/s':>12}{'ratio':>8}")
    for name in normalise.FORMATS:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            file, damaged = Path(folder, "records"), Path(folder, "damaged")
            lines = list(islice(cycle(_payloads(name)), arguments.records))
            file.write_text("\n".join(lines) + "\n")
            lines[::ONE_DAMAGED_IN] = [line[: len(line) // 2] for line in lines[::ONE_DAMAGED_IN]]
            damaged.write_text("\n".join(lines) + "\n")
            ours, ours_damaged, bare = [], [], []
            for _ in range(arguments.runs):
                ours.append(_seconds(lambda name=name, file=file: _normalised(name, file)))
                ours_damaged.append(_seconds(lambda name=name, file=damaged: _normalised(name, file)))
                bare.append(_seconds(lambda name=name, file=file: _read(name, file)))
        speeds = [arguments.records / statistics.median(seconds) for seconds in (ours, ours_damaged, bare)]
        print(
            f"{name:<18}{speeds[0]:>12,.0f}{speeds[1]:>12,.0f}{speeds[2]:>12,.0f}{speeds[0] / speeds[2]:>8.2f}",
            flush=True,
        )


def _payloads(name: str) -> list[str]:
    """Return the one-line payloads that become an event; those of CloudFront have their header lines above them."""
    cases = yaml.safe_load((CASES / f"{name}.yaml").read_text())
    raw = [case["raw"] for case in cases if "event" in case and "rejects" not in case and "ignored" not in case]
    lines = [each.strip() if isinstance(each, str) else json.dumps(each, default=str) for each in raw]
    kinds = "{[" if normalise.FORMATS[name].layout == "json" else "#" if name == "cloudfront" else ""
    return [line for line in lines if ("\n" not in line or kinds == "#") and (not kinds or line[:1] in kinds)]


def _normalised(name: str, file: Path) -> None:
    with normalise.explain([file], Source(format=name, files=str(file)), today=date(2026, 12, 1)) as explanation:
        assert explanation.counts.raw


def _read(name: str, file: Path) -> None:
    """Read JSON into typed columns, and the lines of an access log into their fields."""
    with duckdb.connect(str(file.with_suffix(".duckdb"))) as connection:
        if name in _FIELDS:
            lines = connection.read_csv(str(file), columns={"line": "VARCHAR"}, **_WHOLE_LINES)
            rows = lines.project(_FIELDS[name])
        else:
            rows = connection.read_json(str(file), format="newline_delimited", ignore_errors=True)
        rows.create("records")
    file.with_suffix(".duckdb").unlink()


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
