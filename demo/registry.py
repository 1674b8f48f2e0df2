"""The issuing platform's tables: three issuers, a dozen certificates and badges, and the people who earned them."""

import csv
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random

from demo.plan import (
    AWKWARD,
    CERTIFICATES,
    DOMAINS,
    FAMILY,
    GIVEN,
    ISSUERS,
    SUBSCRIPTIONS,
    ZONES,
    Certificate,
)

ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


@dataclass(frozen=True)
class Person:
    """A person who earns one or more credentials. `number` determines the person's IP."""

    number: int
    name: str
    email: str

    @property
    def domain(self) -> str:
        """The receiving domain, as typed."""
        return self.email.rpartition("@")[2]


@dataclass(frozen=True)
class Recipient:
    """One credential issued to one person. `sent_at` is None if no access mail was sent."""

    recipient_id: str
    certificate: Certificate
    person: Person
    message_id: str
    created_at: datetime
    sent_at: datetime | None


def identifier(rng: Random, length: int) -> str:
    """Return a random id of letters that no log format escapes."""
    return "".join(rng.choices(ID_LETTERS, k=length))


def recipients(rng: Random, first_day: date, nights: int) -> list[Recipient]:
    """Return every credential issued before the end of the last night, in the order of issue."""
    people: dict[str, list[Person]] = {issuer: [] for issuer in ZONES}
    issued: list[Recipient] = []
    for certificate in CERTIFICATES:
        holders: set[int] = set()
        for day, size in _batches(certificate, rng, nights):
            batch_at = _local_time(certificate, first_day + timedelta(days=day), rng)
            for position in range(size):
                person = _earner(rng, people, certificate.issuer_id, holders)
                holders.add(person.number)
                issued.append(_issue(rng, certificate, person, batch_at, position))
    return sorted(issued, key=lambda recipient: recipient.created_at)


def _batches(certificate: Certificate, rng: Random, nights: int) -> list[tuple[int, int]]:
    trickle = [(day, certificate.daily + rng.randrange(-3, 6)) for day in range(-4, nights) if certificate.daily]
    return [(day, size) for day, size in (*certificate.batches, *trickle) if day < nights]


def _local_time(certificate: Certificate, day: date, rng: Random) -> datetime:
    return datetime.combine(day, time(rng.randrange(9, 16), rng.randrange(60)), ZONES[certificate.issuer_id])


def _earner(rng: Random, people: dict[str, list[Person]], issuer_id: str, holders: set[int]) -> Person:
    """Return a person who earns a credential. One in six already has another of the same issuer."""
    known = people[issuer_id]
    if known and rng.random() < 0.17:
        person = rng.choice(known)
        if person.number not in holders:
            return person
    person = _new_person(rng, sum(map(len, people.values())))
    known.append(person)
    return person


def _new_person(rng: Random, number: int) -> Person:
    name = f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}"
    local_part = f"{_plain(name)}{number}"
    if number % 40 == 7 and number // 40 < len(AWKWARD):
        name = AWKWARD[number // 40]
    if rng.random() < 0.02:
        local_part = local_part.title()
    domain = rng.choices(list(DOMAINS), list(DOMAINS.values()))[0]
    return Person(number, name, f"{local_part}@{domain}")


def _plain(name: str) -> str:
    """Return a name as people write it in their address: no accents, dots for spaces."""
    letters = unicodedata.normalize("NFKD", name.lower().replace("ł", "l").replace("ı", "i").replace("ø", "o"))
    return "".join(letter for letter in letters.replace(" ", ".") if letter.isascii() and letter != "'")


def _issue(rng: Random, certificate: Certificate, person: Person, batch_at: datetime, position: int) -> Recipient:
    created_at = batch_at + timedelta(seconds=position // 4)
    # A few are issued without a mail, because they are handed over in class.
    sent_at = None if rng.random() < 0.003 else created_at + timedelta(seconds=rng.randrange(60, 300))
    message_id = identifier(rng, 22) if sent_at else ""
    return Recipient(f"rcp_{identifier(rng, 10)}", certificate, person, message_id, created_at, sent_at)


def current(rng: Random, issued: list[Recipient]) -> list[Recipient]:
    """Return the registry as it is at the end: eight recipients were removed, and one was moved to another certificate.

    Their mails and visits stay in the logs, under the certificate that they had at that time.
    """
    left = set(rng.sample(range(len(issued)), 8))
    remaining = [recipient for place, recipient in enumerate(issued) if place not in left]
    sql, projects = CERTIFICATES[0], CERTIFICATES[1]
    moved = next(place for place, recipient in enumerate(remaining) if recipient.certificate is sql)
    remaining[moved] = replace(remaining[moved], certificate=projects)
    return remaining


def write(folder: Path, rng: Random, first_day: date, nights: int, issued: list[Recipient]) -> dict[str, int]:
    """Write the four tables as CSV; return the number of rows of each."""
    tables: dict[str, tuple[str, list[tuple[str, ...]]]] = {
        "issuers": ("issuer_id,name,logo,color", list(ISSUERS)),
        "certificates": (
            "certificate_id,issuer_id,name,kind,created_at",
            _certificate_rows(first_day, nights),
        ),
        "recipients": (
            "recipient_id,certificate_id,email,name,message_id,access_email_sent_at,created_at",
            [_recipient_row(rng, recipient) for recipient in current(rng, issued)],
        ),
        "subscriptions": (
            "subscription_id,issuer_id,email,frequency,timezone,locale,paused",
            [(*row[:4], str(ZONES[row[1]]), *row[4:]) for row in SUBSCRIPTIONS],
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, (header, rows) in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header.split(","), *rows])
    return {name: len(rows) for name, (_, rows) in tables.items()}


def _certificate_rows(first_day: date, nights: int) -> list[tuple[str, ...]]:
    return [
        (one.certificate_id, one.issuer_id, one.name, one.kind,
         _iso(datetime.combine(first_day + timedelta(days=one.created_day), time(8), UTC)))
        for one in CERTIFICATES if one.created_day < nights
    ]  # fmt: skip


def _recipient_row(rng: Random, recipient: Recipient) -> tuple[str, ...]:
    # One row in a hundred lacks the message id: the send call timed out, but the mail was sent.
    message_id = "" if rng.random() < 0.01 else recipient.message_id
    sent_at = _iso(recipient.sent_at) if recipient.sent_at else ""
    return (recipient.recipient_id, recipient.certificate.certificate_id, recipient.person.email,
            recipient.person.name, message_id, sent_at, _iso(recipient.created_at))  # fmt: skip


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
