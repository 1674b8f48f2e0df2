"""A small credential platform written by hand: 2 issuers, 3 certificates, 20 recipients, two days of both logs.

Every record is here because a figure of `FIGURES` needs it. Day one is 2026-03-02, a Monday.
"""

import gzip
import json
import re
from datetime import UTC, date, datetime, time
from pathlib import Path

import psycopg

DAYS = (date(2026, 3, 2), date(2026, 3, 3))
KEY = "a key of the tests"
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
LINK = "https://credentials.example.com/c/1"

_CERTIFICATE_OF = {range(1, 11): "c1", range(11, 19): "c2", range(19, 21): "c3"}
_ISSUED = {"c1": "2026-03-01T10:00:00Z", "c2": "2026-03-02T09:00:00Z", "c3": "2026-03-03T09:00:00Z"}

REGISTRY = {
    "issuers": "issuer_id,name\ni1,Northwind\ni2,Southridge\n",
    "certificates": "certificate_id,issuer_id,name,kind,created_at\n"
    "c1,i1,Data Literacy,certificate,2026-03-01T09:00:00Z\n"
    "c2,i1,Open Water,badge,2026-03-02T08:00:00Z\n"
    "c3,i2,First Aid,certificate,2026-03-03T08:00:00Z\n",
    "subscriptions": "subscription_id,issuer_id,email,frequency,timezone,locale,paused\n"
    "s1,i1,dean@northwind.example,daily,UTC,en-GB,false\n"
    "s2,i2,dean@southridge.example,daily,UTC,en-GB,false\n"
    "s3,i1,rector@northwind.example,monthly,Europe/Berlin,de,false\n",
    "recipients": "recipient_id,certificate_id,email,name,message_id,access_email_sent_at,created_at\n"
    + "".join(
        f"r{n:02},{name},Person{n}@example.com,Person {n},,,{_ISSUED[name]}\n"
        for numbers, name in _CERTIFICATE_OF.items()
        for n in numbers
    ),
}


def mail(number, event, day, at, **details):
    """Return a record of SendGrid about one recipient."""
    moment = datetime.combine(day, time.fromisoformat(at), UTC).timestamp()
    known = {"email": f"person{number}@example.com", "recipient_id": f"r{number:02}", "timestamp": int(moment)}
    return {"event": event, "sg_event_id": f"{event}-{number}-{at}", **known, **details}


def request(day, at, query, agent=PERSON, method="GET"):
    """Return a line of nginx about the pixel."""
    return f'192.0.2.9 - - [{day:%d/%b/%Y}:{at} +0000] "{method} /px.gif?{query} HTTP/1.1" 200 43 "-" "{agent}"'


ONE, TWO = DAYS
UNKNOWN = {"email": "stranger@example.com", "recipient_id": "r99"}
MAIL = {
    ONE: [
        *(mail(n, "delivered", ONE, "10:00:00") for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16)),
        mail(10, "bounce", ONE, "10:00:05", type="bounce", status="5.1.1",
             reason="550 5.1.1 no such user <person10@example.com>"),
        mail(17, "deferred", ONE, "10:00:05", response="421 try again"),
        mail(1, "open", ONE, "10:01:00", useragent=PERSON),
        mail(2, "open", ONE, "10:01:00", useragent=PERSON, sg_machine_open=True),
        mail(5, "open", ONE, "10:01:00", useragent="Mozilla/5.0 (via ggpht.com GoogleImageProxy)"),
        mail(3, "click", ONE, "10:02:00", useragent=PERSON, url=LINK),
        mail(4, "click", ONE, "10:02:00", useragent=PERSON, url="https://mail.example.com/unsubscribe"),
        mail(1, "open", ONE, "10:01:00", useragent=PERSON),  # the same event again: a duplicate
        mail(1, "delivered", ONE, "11:00:00", **UNKNOWN),  # not in the registry: unattributed
        {"event": "delivered", "email": "person1@example.com", "timestamp": "soon"},  # no usable time: a reject
    ],
    TWO: [
        mail(17, "delivered", TWO, "08:00:00"),
        mail(6, "bounce", TWO, "08:00:00", type="bounce", status="4.2.2", reason="552 5.2.2 mailbox full"),
        mail(7, "spamreport", TWO, "09:00:00"),
        mail(4, "unsubscribe", TWO, "09:00:00"),
        mail(19, "dropped", TWO, "10:00:00", reason="Bounced Address"),
        mail(20, "processed", TWO, "10:00:00"),
    ],
}  # fmt: skip
PIXEL = {
    ONE: [
        request(ONE, "10:03:00", "e=view&c=c1&r=r01"),
        request(ONE, "10:04:00", "e=claim&c=c1&r=r01"),
        request(ONE, "10:04:00", "e=claim&c=c1&r=r03"),
        request(ONE, "10:05:00", "e=share&c=c1&r=r03&ch=linkedin"),
        request(ONE, "10:05:01", "e=share&c=c1&r=r03&ch=twitter"),
        request(ONE, "10:06:00", "e=profile&c=c1&r=r03"),
        request(ONE, "10:04:00", "e=claim&c=c1&r=r02", method="HEAD"),  # a machine's request is no claim
        request(ONE, "10:07:00", "e=open&c=c1&r=r08"),
        request(ONE, "10:08:00", "e=steal&c=c1&r=r08"),  # no such action: a reject
        request(ONE, "10:09:00", "").replace("/px.gif?", "/index.html"),  # another path: ignored
    ],
    TWO: [
        request(TWO, "10:00:00", "e=claim&c=c2&r=r11"),
        request(TWO, "10:01:00", "e=download&c=c2&r=r11"),
        request(TWO, "10:02:00", "e=share&c=c2&r=r12&ch=copy_link"),
        request(TWO, "10:03:00", "e=download&c=c1&r=r04"),
        request(TWO, "10:04:00", "e=share&c=c1&r=r01&ch=linkedin"),
    ],
}

COUNTS = [
    "recipients", "claimed", "shared_or_downloaded", "added_to_linkedin", "sent", "delivered", "bounced", "rejected",
    "opened", "machine_only_opened", "clicked", "machine_only_clicked", "complained", "unsubscribed",
]  # fmt: skip
"""The catalogue's counts in the order of `FIGURES`."""

# c1 on day two: claimed r01 r03; shared or downloaded r01 r03 r04; profile r03; all ten sent; delivered all but r06
# (bounced on day two) and r10; opened r01 r03 r04 r05 r08 (3 and 4 by their clicks); machine only r02; clicked r03
# (r04 clicked on the unsubscribe link); complained r07; unsubscribed r04.
# c2 on day two: claimed r11; shared or downloaded r11 r12; sent and delivered r11 to r17, r17 after a deferral.
# c3 on day two: r19 dropped, which does not count as sent; r20 processed.
FIGURES = {
    ONE: {"c1": [10, 2, 1, 1, 10, 9, 1, 0, 5, 1, 1, 0, 0, 0], "c2": [8, 0, 0, 0, 7, 6, 0, 0, 0, 0, 0, 0, 0, 0]},
    TWO: {
        "c1": [10, 2, 3, 1, 10, 8, 2, 0, 5, 1, 1, 0, 1, 1],
        "c2": [8, 1, 2, 0, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0],
        "c3": [2, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    },
}
SHARES = {"c1": {"linkedin": 2, "x": 1}, "c2": {"copy_link": 1}, "c3": {}}
STATUSES = [
    "shared", "delivered", "added_to_profile", "downloaded", "opened",
    "bounced", "delivered", "opened", "delivered", "bounced",
]  # fmt: skip
"""The states of r01 to r10 on day two."""


def write(folder: Path) -> Path:
    """Write the platform's registry, logs and configuration, and return the configuration's path."""
    for table, rows in REGISTRY.items():
        write_table(folder, table, rows)
    for day in DAYS:
        write_mail(folder, day, "\n".join(map(json.dumps, MAIL[day])).encode())
        (folder / f"access.log-{day}").write_text("\n".join(PIXEL[day]))
    path = folder / "analytics.toml"
    path.write_text(f"""
[landing]
url = "file://{folder}/landing"
[warehouse]
url = "duckdb:///{folder}/warehouse.duckdb"
[registry]
url = "file://{folder}/registry"
[sources.mail]
format = "sendgrid"
files = "{folder}/mail/{{day:%Y/%m/%d}}/*.json.gz"
since = 2026-03-02
until = 2026-03-03
[sources.view]
format = "nginx_combined"
files = "{folder}/access.log-{{day:%Y-%m-%d}}"
since = 2026-03-02
until = 2026-03-03
[credential]
hosts = ["credentials.example.com"]
[mail]
sender = "Certificate reports <reports@example.com>"
unsubscribe_url = "https://example.com/unsubscribe/{{token}}"
[privacy]
secret = "HASH_KEY"
""")
    return path


def move_to_postgres(configuration: Path, port: int, name: str) -> None:
    """Move the warehouse and the state of a platform to new databases of the server at that port."""
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
        for database in (name, f"{name}_state"):
            connection.execute(f"CREATE DATABASE {database}")
    address = f"postgresql+psycopg://postgres@127.0.0.1:{port}/{name}"
    text = re.sub(r'url = "duckdb:[^"]*"', f'url = "{address}"', configuration.read_text())
    configuration.write_text(f'{text}\n[state]\nurl = "{address}_state"\n')


def write_table(folder: Path, table: str, rows: str) -> None:
    """Write a table of the registry."""
    (folder / "registry").mkdir(parents=True, exist_ok=True)
    (folder / "registry" / f"{table}.csv").write_text(rows)


def write_mail(folder: Path, day: date, content: bytes) -> Path:
    """Write the mail events of a day as one compressed file, and return its path."""
    path = folder / "mail" / f"{day:%Y/%m/%d}" / "events.json.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content))
    return path
