"""Write events and requests into files, as a webhook collector and nginx with log rotation would.

The bytes depend only on the content: gzip's time stamp is zero.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from demo.visiting import Request

HOURS_PER_FILE = 4
SECONDS_PER_POST = 20
ROTATION_SECONDS = 3


def write_posts(folder: Path, rng: Random, events: Iterable[tuple[int, dict[str, Any]]], end: float) -> int:
    """Write webhook posts, one JSON array a line, into files by their arrival; return the number of files.

    A post that arrives at `end` or later is left out.
    """
    posts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for at, event in sorted(events, key=lambda pair: pair[0]):
        posts[at // SECONDS_PER_POST].append(event)
    lines: dict[str, list[str]] = defaultdict(list)
    for post, content in posts.items():
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        for at in _arrivals(rng, post * SECONDS_PER_POST):
            if at < end:
                lines[_post_file(at)].append(text)
    _damage(rng, lines)
    for name, texts in lines.items():
        _write(folder / name, texts)
    return len(lines)


def _arrivals(rng: Random, at: int) -> list[int]:
    """Return when a post arrives.

    The provider repeats a post that was not answered in time, usually on the same day.
    """
    if rng.random() > 0.01:
        return [at]
    return [at, at + rng.choice((60, 300, 1200, 1200, 70000))]


def _damage(rng: Random, lines: dict[str, list[str]]) -> None:
    """Cut off a post in up to two files, as if the collector had been killed while it wrote."""
    for name in rng.sample(sorted(lines), min(2, len(lines) // 20)):
        lines[name].append(lines[name][-1][:200])


def _post_file(at: int) -> str:
    arrived = datetime.fromtimestamp(at, UTC)
    return f"{arrived:%Y/%m/%d}/posts-{arrived.hour // HOURS_PER_FILE * HOURS_PER_FILE:02d}.json.gz"


def write_access_logs(folder: Path, requests: Iterable[Request]) -> int:
    """Write one access log for each UTC day, every seventh uncompressed; return the number of files.

    Rotation happens some seconds late, so a day's file may end with the first requests of the next day.
    """
    days: dict[int, list[str]] = defaultdict(list)
    for at, text in sorted(requests, key=lambda request: request[0]):
        days[(at - ROTATION_SECONDS) // 86400].append(text)
    for number, (day, texts) in enumerate(sorted(days.items())):
        name = f"access.log-{datetime.fromtimestamp(day * 86400, UTC):%Y-%m-%d}"
        _write(folder / (name if number % 7 == 3 else f"{name}.gz"), texts)
    return len(days)


def _write(path: Path, lines: list[str]) -> None:
    content = "".join(f"{text}\n" for text in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 6, mtime=0) if path.suffix == ".gz" else content)
