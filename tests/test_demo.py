"""Promises of the simulated platform: repeatable, complete, and in the formats of the interface."""

import csv
import hashlib
import smtplib
from datetime import date
from email.message import EmailMessage
from pathlib import Path

import pytest

from demo.plan import MISTYPED
from demo.platform import simulate
from demo.sink import LOOPBACK, start
from tests.postgres_server import free_port

FIRST_DAY = date(2026, 11, 2)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of nine simulated nights."""
    return simulate(tmp_path_factory.mktemp("platform"), first_day=FIRST_DAY, nights=9).folder


def digests(folder: Path) -> dict[str, str]:
    """Return every file's path and the hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(platform: Path, tmp_path: Path) -> None:
    """Two people who run the demo see the same figures."""
    simulate(tmp_path, first_day=FIRST_DAY, nights=9)
    assert digests(tmp_path) == digests(platform)


def test_no_log_is_of_a_day_that_was_not_simulated(platform: Path) -> None:
    """A repeated post does not add a day after the last one."""
    folders = {path.parent.name for path in platform.glob("sendgrid/*/*/*/*.json.gz")}
    assert folders == {f"{day:02d}" for day in range(2, 11)}


def test_no_compressed_file_holds_a_time_stamp(platform: Path) -> None:
    """The bytes are the same today and tomorrow: gzip's time stamp (bytes 4 to 7, RFC 1952) is zero."""
    assert {path.read_bytes()[4:8] for path in platform.rglob("*.gz")} == {bytes(4)}


def test_another_seed_gives_other_bytes(platform: Path, tmp_path: Path) -> None:
    """The seed decides the data."""
    simulate(tmp_path, first_day=FIRST_DAY, nights=9, seed=8)
    assert digests(tmp_path) != digests(platform)


@pytest.mark.parametrize("day", range(9))
def test_every_day_has_both_logs(platform: Path, day: int) -> None:
    """No night of the demo lacks a slice."""
    at = date(2026, 11, 2 + day)
    assert len(list(platform.glob(f"sendgrid/{at:%Y/%m/%d}/*.json.gz"))) > 1
    assert len(list(platform.glob(f"recipient_view/access.log-{at}*"))) == 1


@pytest.mark.parametrize(
    ("table", "header"),
    [
        ("issuers", "issuer_id,name,logo,color"),
        ("certificates", "certificate_id,issuer_id,name,kind,created_at"),
        ("recipients", "recipient_id,certificate_id,email,name,message_id,access_email_sent_at,created_at"),
        ("subscriptions", "subscription_id,issuer_id,email,frequency,timezone,locale,paused"),
    ],
)
def test_registry_has_the_headers_of_the_interface(platform: Path, table: str, header: str) -> None:
    """The registry's files can be read as the interface says."""
    with (platform / "registry" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == header.split(",")


def test_nobody_real_is_in_the_registry(platform: Path) -> None:
    """Every address is at a reserved domain, or at one of the listed mistyped domains."""
    with (platform / "registry" / "recipients.csv").open(encoding="utf-8", newline="") as file:
        domains = {row["email"].rpartition("@")[2] for row in csv.DictReader(file)}
    assert {domain for domain in domains if not domain.endswith((".example", "example.com"))} <= MISTYPED


def test_the_sink_writes_what_it_accepted(tmp_path: Path) -> None:
    """A mail sent to the sink is found in its folder, byte for byte."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", "Weekly report"
    mail.set_content("Zoë, read this\n")
    controller = start(tmp_path, free_port())
    with smtplib.SMTP(LOOPBACK, controller.port) as client:
        client.send_message(mail)
    controller.stop()
    written = tmp_path / "0001-b@example.com.eml"
    assert written.read_bytes().replace(b"\r\n", b"\n") == mail.as_bytes()


def test_the_sample_is_small_and_loads_nothing() -> None:
    """Whoever looks at the repository sees a whole report, as an issuer gets it, without a network."""
    html, pdf = (Path("docs", "sample", name).read_bytes() for name in ("report.html", "report.pdf"))
    assert len(html) + len(pdf) <= 1_500_000
    assert b"default-src 'none'" in html and b"Harbour Academy" in html
    assert pdf.startswith(b"%PDF-") and b"/URI" not in pdf
