"""Measure a night over a short and over a long history: what it costs must follow from what it brought.

Each day of the history has its own certificates and recipients, as on a platform that grows. The night brings events of the
newest ones. The history is not brought night by night: one night is brought, and copied within the warehouse under other
names, which leaves the same rows.

Run it as `python -m benchmarks.growth [--events 1000000] [--days 10 100]`.
"""

import argparse
import os
import resource
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks import sendgrid_events

DAY = date(2026, 11, 2)
RECIPIENTS = 40_000
"""Recipients of each day, with 25 events each."""

_RENAMED = ("event_key", "identity_key", "recipient_id", "certificate_id", "message_id", "address_hash", "email")
_COPIED = ("certificates", "recipients", "events", "identities", "failures", "slices")


def main() -> None:
    """Print the seconds of the night's steps over each history, the peak memory and the size of the warehouse."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="of the night, and of each day of the history")
    parser.add_argument("--days", type=int, nargs="+", default=[10, 100], help="lengths of the history")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        days = [DAY, DAY + timedelta(days=1)]
        for seed, day in enumerate(days):
            file = Path(folder, f"{day}.ndjson")
            sendgrid_events.write(file, arguments.events, seed=seed, day=day, recipients=RECIPIENTS)
        sendgrid_events.write_registry(Path(folder, "registry"), day=DAY, recipients=RECIPIENTS)
        steps = f"{'extract':>9}{'normalise':>11}{'validate':>10}{'load':>8}{'statistics':>12}"
        print(f"{'history':>12}{steps}{'night':>8}{'peak':>10}{'warehouse':>11}")
        nights = [_over(Path(folder), days, length, arguments.events) for length in arguments.days]
    print(f"over {arguments.days[-1]} days {nights[-1] / nights[0]:.2f} times as long as over {arguments.days[0]}")


def _over(folder: Path, days: list[date], length: int, events: int) -> float:
    """Make a history, bring the night over it, and return the seconds of the night."""
    home = folder / f"over_{length}"
    home.mkdir()
    sendgrid_events.write_configuration(home, folder / "registry", f"{folder}/{{day:%Y-%m-%d}}.ndjson")
    os.environ["ANALYTICS_CONFIG"] = str(home / "analytics.toml")
    from etl import pipeline

    context = pipeline.open_context(os.environ.get)
    pipeline.pull_registry(context)
    _night(context, days[0])
    _copy(home / "warehouse.duckdb", length - 1)
    pipeline.refresh(context)
    steps = _night(context, days[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    columns = "".join(f"{steps[name]:>{width}.1f}" for name, width in zip(steps, (9, 11, 10, 8, 12), strict=True))
    size = (home / "warehouse.duckdb").stat().st_size / 1e6
    print(f"{events * length:>12,}{columns}{sum(steps.values()):>8.1f}{peak:>7,.0f} MB{size:>8,.0f} MB", flush=True)
    return sum(steps.values())


def _night(context: object, day: date) -> dict[str, float]:
    """Bring a day, and return the seconds of each step."""
    from etl import pipeline

    seconds = {}
    for name, step in (
        ("extract", pipeline.extract_slice),
        ("normalise", pipeline.normalise_slice),
        ("validate", pipeline.validate_slice),
        ("load", lambda *slice_: pipeline.load_slice(*slice_, now=datetime.now(UTC))),
        ("statistics", lambda opened, *_: pipeline.refresh(opened)),
    ):
        started = time.perf_counter()
        step(context, "sendgrid", day)
        seconds[name] = time.perf_counter() - started
    return seconds


def _copy(warehouse: Path, times: int) -> None:
    """Copy all rows but the issuers' so many times, each time under other ids and an earlier day."""
    with duckdb.connect(str(warehouse)) as connection:
        for number in range(1, times + 1):
            for table in _COPIED:
                own = [name for name in connection.table(table).columns if name in _RENAMED]
                renamed = [f"{name} || '-{number}' AS {name}" for name in own]
                dated = [f"load_date - {number} AS load_date"] if "load_date" in connection.table(table).columns else []
                first = f"load_date = DATE '{DAY}'" if dated else f"{own[0]} NOT LIKE '%-%'"
                connection.execute(
                    f"INSERT INTO {table} SELECT * REPLACE ({', '.join(renamed + dated)}) FROM {table} WHERE {first}"
                )
        connection.execute("INSERT INTO stale_certificates SELECT certificate_id FROM certificates")


if __name__ == "__main__":
    main()
