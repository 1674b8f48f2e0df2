"""Write a large day of SendGrid events as NDJSON, one event a line, some 400 bytes each (380 in a real export).

python -m benchmarks.sendgrid_events events.ndjson --events 2000000
"""

import argparse
import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from itertools import islice
from pathlib import Path
from random import Random

RECIPIENTS, CERTIFICATES, ISSUERS = 400_000, 1_000, 100
LINES_PER_WRITE = 20_000
ONE_REPEAT_IN = 1_000
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"

# The weight of each event, its type, and its fields besides the common ones. An access mail that is read causes
# processed, delivered, one or two opens and a click; one in thirty bounces.
KINDS: tuple[tuple[int, str, dict[str, object]], ...] = (
    (28, "processed", {}),
    (27, "delivered", {"ip": "192.0.2.17", "response": "250 2.0.0 OK 1762160461 d9443c01a73", "tls": 1}),
    (2, "deferred", {"response": "421 4.7.0 Try again later", "attempt": "2"}),
    (1, "bounce", {"type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 <@EMAIL@>: no such mailbox here",
                   "bounce_classification": "Invalid Address", "ip": "192.0.2.17", "tls": 1}),
    (1, "dropped", {"reason": "Bounced Address", "status": "5.0.0"}),
    (14, "open", {"useragent": "Mozilla/5.0", "ip": "198.51.100.8", "sg_machine_open": True}),
    (14, "open", {"useragent": GMAIL, "ip": "198.51.100.9", "sg_machine_open": False}),
    (13, "click", {"useragent": CHROME, "ip": "198.18.4.1", "url": "https://credentials.example/@RECIPIENT@",
                   "url_offset": {"index": 0, "type": "html"}}),
)  # fmt: skip


def write(
    path: Path, events: int, seed: int = 1, *, day: date = date(2026, 11, 2), recipients: int = RECIPIENTS
) -> None:
    """Write `events` lines to `path`, all on one UTC day, in order of time, of the first recipients.

    Each 1,000th line is a repeat.

    The same arguments give the same bytes.
    """
    lines = _lines(Random(seed), events, recipients, int(datetime.combine(day, time(), UTC).timestamp()))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        while chunk := list(islice(lines, LINES_PER_WRITE)):
            file.writelines(chunk)


def write_registry(folder: Path, *, day: date = date(2026, 11, 2), recipients: int = RECIPIENTS) -> None:
    """Write the registry of the events' recipients, or of the first of them, as the four CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    created = f"{day.isoformat()}T00:00:00Z"
    tables = {
        "issuers": ["issuer_id,name", *(f"iss_{number},Issuer {number}" for number in range(ISSUERS))],
        "certificates": [
            "certificate_id,issuer_id,name,kind,created_at",
            *(
                f"crt_{number:04d},iss_{number % ISSUERS},Certificate {number},certificate,{created}"
                for number in range(CERTIFICATES)
            ),
        ],
        "recipients": [
            "recipient_id,certificate_id,email,name,message_id,access_email_sent_at,created_at",
            *(
                f"{recipient_id},{certificate_id},{email},Recipient {number},{message_id},,{created}"
                for number, (email, message_id, recipient_id, certificate_id) in enumerate(
                    map(_person, range(recipients))
                )
            ),
        ],
        "subscriptions": ["subscription_id,issuer_id,email,frequency,timezone,locale,paused"],
    }
    for table, lines in tables.items():
        (folder / f"{table}.csv").write_text("\n".join((*lines, "")))


def write_configuration(home: Path, registry: Path, files: Path | str, warehouse: str | None = None) -> None:
    """Write analytics.toml with the source ``sendgrid``, a landing in the folder, and a warehouse there or at that URL."""
    warehouse = warehouse or f"duckdb:///{home}/warehouse.duckdb"
    (home / "analytics.toml").write_text(
        f'[landing]\nurl = "file://{home}/landing"\n[warehouse]\nurl = "{warehouse}"\n'
        f'[registry]\nurl = "file://{registry}"\n'
        f'[sources.sendgrid]\nformat = "sendgrid"\nfiles = "file://{files}"\n'
    )


def _lines(rng: Random, events: int, recipients: int, midnight: int) -> Iterator[str]:
    people = [_person(number) for number in range(recipients)]
    templates = [template for weight, event, fields in KINDS for template in [_template(event, fields)] * weight]
    random, kinds, line = rng.random, len(templates), ""
    for number in range(events):
        if number % ONE_REPEAT_IN != ONE_REPEAT_IN - 1:
            email, message_id, recipient_id, certificate_id = people[int(random() * recipients)]
            line = templates[int(random() * kinds)] % {
                "email": email, "message_id": message_id, "recipient_id": recipient_id,
                "certificate_id": certificate_id, "timestamp": midnight + number * 86400 // events,
                "event_id": f"{number:06x}{int(random() * 16**10):016x}",
            }  # fmt: skip
        yield line


def _person(number: int) -> tuple[str, str, str, str]:
    digest = hashlib.md5(str(number).encode(), usedforsecurity=False).digest()
    message_id = base64.urlsafe_b64encode(digest).decode()[:22]
    domain = ("freemail.example", "postbox.example", "university.example", "example.com")[number % 4]
    return f"recipient.{number}@{domain}", message_id, f"rcp_{number:06d}", f"crt_{number % CERTIFICATES:04d}"


def _template(event: str, fields: dict[str, object]) -> str:
    """Return the event's JSON text, with `%(name)s` where the lines differ."""
    record = {
        "email": "@EMAIL@", "timestamp": "@TIMESTAMP@", "smtp-id": "<@MESSAGE@@ismtpd-7>", "event": event,
        "category": ["access_email"], "sg_event_id": "@EVENT@",
        "sg_message_id": "@MESSAGE@.filter0001.16648.5515E0B88.0",
        **fields, "recipient_id": "@RECIPIENT@", "certificate_id": "@CERTIFICATE@",
    }  # fmt: skip
    text = json.dumps(record, separators=(",", ":")).replace("%", "%%").replace('"@TIMESTAMP@"', "%(timestamp)d")
    marks = {"EMAIL": "email", "MESSAGE": "message_id", "EVENT": "event_id", "RECIPIENT": "recipient_id",
             "CERTIFICATE": "certificate_id"}  # fmt: skip
    for mark, name in marks.items():
        text = text.replace(f"@{mark}@", f"%({name})s")
    return f"{text}\n"


def main() -> None:
    """Write the file that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sendgrid_events", description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--events", type=int, default=2_000_000)
    arguments = parser.parse_args()
    write(arguments.path, arguments.events)


if __name__ == "__main__":
    main()
