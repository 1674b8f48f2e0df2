"""Simulate a credential platform for some weeks, and write the files that the pipeline reads."""

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

from demo import logs, mailing, registry, traffic, visiting
from demo.letter import DAY


@dataclass(frozen=True)
class Simulation:
    """The days of a simulation, the rows of its registry, and the records and files of both logs."""

    folder: Path
    first_day: date
    last_day: date
    issuers: int
    certificates: int
    recipients: int
    subscriptions: int
    mail_events: int
    mail_files: int
    requests: int
    request_files: int


def simulate(folder: Path, *, first_day: date, nights: int = 30, seed: int = 7) -> Simulation:
    """Write the registry and both raw logs under `folder`.

    The files are `registry/*.csv`, `sendgrid/{YYYY}/{MM}/{DD}/*.json.gz` and
    `recipient_view/access.log-{YYYY-MM-DD}[.gz]`. Files of an earlier simulation in these three folders are removed.

    The same arguments give the same bytes. Days are UTC. Records that would arrive before the first or after the
    last day are left out, because no log would contain them.
    """
    for name in ("registry", "sendgrid", "recipient_view"):
        shutil.rmtree(folder / name, ignore_errors=True)
    rng = Random(seed)
    issued = registry.recipients(rng, first_day, nights)
    start = datetime.combine(first_day, time(), UTC).timestamp()
    end = start + nights * DAY
    issued = [recipient for recipient in issued if recipient.created_at.timestamp() < end]
    events, requests = _behaviour(rng, issued)
    for day in range(nights):
        requests += traffic.of_one_day(rng, start + day * DAY, issued)
    events = [(at, event) for at, event in events if start <= at < end]
    requests = [(at, text) for at, text in requests if start + logs.ROTATION_SECONDS <= at < end]
    rows = registry.write(folder / "registry", rng, first_day, nights, issued)
    return Simulation(
        folder,
        first_day,
        first_day + timedelta(days=nights - 1),
        **rows,
        mail_events=len(events),
        mail_files=logs.write_posts(folder / "sendgrid", rng, events, end),
        requests=len(requests),
        request_files=logs.write_access_logs(folder / "recipient_view", requests),
    )


def _behaviour(
    rng: Random, issued: list[registry.Recipient]
) -> tuple[list[tuple[int, dict[str, Any]]], list[visiting.Request]]:
    """Return every mail event with its arrival, and every request of recipients, link scanners and visitors."""
    events: list[tuple[int, dict[str, Any]]] = []
    requests: list[visiting.Request] = []
    suppressed: dict[str, tuple[float, str]] = {}
    for recipient in issued:
        if recipient.sent_at is None:
            continue
        letter, followed_at = mailing.post(rng, recipient, suppressed)
        events += letter.events
        requests += visiting.scans(rng, recipient, [event for _, event in letter.events if event["event"] == "click"])
        if followed_at is not None:
            requests += visiting.visits(rng, recipient, followed_at)
    return events, requests
