"""The rules that decide when a report is due, and its delivery, exactly once, whatever the mail server does."""

import asyncio
import base64
import html
import json
import re
import smtplib
import ssl
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import yaml
from aiosmtpd.smtp import SMTP, AuthResult

from etl import deliver, periods, settings, state
from etl.errors import (
    ConfigurationError,
    DeferredDelivery,
    DeliveryError,
    DeliveryInProgress,
    DoubtfulDelivery,
    RefusedAddress,
    RefusedDelivery,
    UnusableServer,
)

NOW = datetime(2026, 12, 1, 6, 0, 30, tzinfo=UTC)
NOVEMBER = periods.parse("2026-11", "Europe/Berlin")
DEAN = "dean@northwind.example"
KEY = "key"
CASES = yaml.safe_load(Path("tests/cases/deliver/due.yaml").read_text())
REFUSALS = yaml.safe_load(Path("tests/cases/deliver/refusals.yaml").read_text())


@pytest.fixture
def ledger(tmp_path):
    """Return an empty state."""
    return state.open(f"sqlite:///{tmp_path / 'state.db'}", None, {}.get)


def subscription(**differing):
    """Return a row of the registry's subscriptions."""
    usual = {"subscription_id": "s1", "issuer_id": "i1", "email": DEAN, "frequency": "monthly"}
    return {
        **usual,
        "timezone": "Europe/Berlin",
        "locale": "en-GB",
        "is_paused": False,
        "detail": "recipients",
        **differing,
    }


def given_row(ledger, name, period, status):
    """Bring the ledger into the state that a case begins with. Periods are in the time zone of Berlin."""
    period = periods.parse(str(period), "Europe/Berlin")
    if status in ("baseline", "superseded", "skipped"):  # a skipped period is quiet, without a mail
        ledger.record(name, [period], "quiet" if status == "skipped" else status, NOW)
        return
    ledger.claim(name, period, message_id="<1@x>", figures="{}", at=NOW)
    if status != "claimed":
        ledger.finish(name, period, status, message_id="<1@x>", at=NOW)


def due(case, ledger):
    """Return what is due in a case."""
    subscriptions = [subscription(**each) for each in case.get("subscriptions", [{}])]
    mail = settings.Mail(**{"enabled": True, **case.get("mail", {})})
    now = datetime.fromisoformat(case["now"])
    return deliver.due(subscriptions, ledger, case["whole_through"], now, mail, KEY)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_due_reports(case, ledger):
    """Every subscription gets the latest whole period in the morning, once."""
    for row in case.get("ledger", []):
        given_row(ledger, *row)
    for name in case.get("unsubscribed", []):
        ledger.unsubscribe(name, NOW)
    for address in case.get("refused", []):
        ledger.refuse_address(deliver.address_key(address, KEY), state.Refusal("s1", "550 5.1.1 User unknown", NOW))
    found = [
        [each.subscription["subscription_id"], each.action, each.period.name]
        + [period.name for period in each.superseded]
        for each in due(case, ledger)
    ]
    assert found == [[str(word) for word in each] for each in case["expect"]]


def test_recording_what_is_not_sent_leaves_the_latest_due(ledger):
    """A run that was killed between recording and sending is repaired by the next."""
    given_row(ledger, "s1", "2026-08", "sent")
    case = {"now": "2026-12-01T06:00Z", "whole_through": date(2026, 11, 30)}
    deliver.record(due(case, ledger), ledger, NOW)
    assert [(each.period.name, each.superseded) for each in due(case, ledger)] == [("2026-11", ())]
    assert ledger.delivery("s1", "2026-09").status == "superseded"


def test_a_recorded_baseline_sends_nothing_until_the_next_period(ledger):
    """A new installation does not send a burst of mails."""
    case = {"now": "2026-12-01T06:00Z", "whole_through": date(2026, 11, 30)}
    deliver.record(due(case, ledger), ledger, NOW)
    assert due(case, ledger) == []
    assert [each.action for each in due(case | {"now": "2027-01-01T06:00Z"}, ledger)] == []


# The mail server


class ScriptedServer:
    """A mail server with a list of answers, one for each try. The last answer is repeated.

    An answer begins with the step at which it is given: ``mail``, ``rcpt`` or ``data``. Then comes a reply, or
    ``hang up``, which ends the connection. Any other answer accepts the message.
    """

    def __init__(self, *answers):
        self.answers, self.tries, self.taken, self.seen = list(answers), 0, [], []

    def _answer(self, step):
        answer = self.answers[min(self.tries, len(self.answers)) - 1] if self.answers else ""
        return answer.removeprefix(f"{step} ") if answer.startswith(f"{step} ") else None

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        """Count the try."""
        self.tries += 1
        envelope.mail_from = address
        return self._answer("mail") or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        """Accept the recipient, refuse it, or hang up before DATA."""
        answer = self._answer("rcpt")
        if answer == "hang up":
            server.transport.abort()
        if not answer:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        """Accept the message, refuse it, or accept it and hang up without a reply."""
        answer = self._answer("data")
        self.seen.append(message_from_bytes(envelope.content, policy=policy.default)["Message-ID"])
        if answer is None or answer == "hang up":
            self.taken.append(envelope)
        if answer == "hang up":
            server.transport.abort()
        return answer or "250 taken"

    @property
    def messages(self):
        """The accepted messages, parsed."""
        return [message_from_bytes(each.content, policy=policy.default) for each in self.taken]


@contextmanager
def serving(smtp_server, encryption=None, **options):
    """Yield the configuration of a real server on loopback."""
    loop = asyncio.new_event_loop()
    listening = loop.create_server(lambda: SMTP(smtp_server, **options), "127.0.0.1", 0, ssl=encryption)
    server = loop.run_until_complete(listening)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield settings.Mail(url=f"smtp://localhost:{server.sockets[0].getsockname()[1]}", enabled=True)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def message(to=DEAN, text="Dear dean,\n.\n..and a line that begins with dots\n"):
    """Return a landed message.eml, which has no Message-ID and no Date yet."""
    mail = EmailMessage()
    mail["From"], mail["To"] = "Certificate reports <reports@example.com>", to
    mail["Subject"] = "Northwind Academy: November 2026"
    mail["List-Unsubscribe"] = "<https://example.com/unsubscribe/token>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(text)
    mail.add_attachment(b"%PDF" + bytes(range(256)), maintype="application", subtype="pdf", filename="report.pdf")
    return mail.as_bytes()


def send(ledger, mail, **changed):
    """Send November's report, without pauses between the tries."""
    usual = {
        "message": message(),
        "state": ledger,
        "subscription_id": "s1",
        "period": NOVEMBER,
        "figures": "{}",
    }
    return deliver.send(**{**usual, "mail": mail, "lookup": {}.get, "clock": lambda: NOW, "pauses": (0, 0), **changed})


def status(ledger):
    """Return the ledger's status of November's report."""
    return ledger.delivery("s1", "2026-11").status


def test_a_message_arrives_as_it_was_rendered(ledger):
    """Lines that begin with dots, and attachments, arrive unchanged."""
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail:
        assert send(ledger, mail)
    [arrived], [envelope] = smtp_server.messages, smtp_server.taken
    landed = message_from_bytes(message(), policy=policy.default)
    for part, sent in zip(arrived.walk(), landed.walk(), strict=True):
        assert part.is_multipart() or part.get_content().splitlines() == sent.get_content().splitlines()
    assert (envelope.mail_from, envelope.rcpt_tos) == ("reports@example.com", [DEAN])


def test_a_message_gets_its_id_and_date_when_it_is_sent(ledger):
    """The id in a mail server's log can be found in the ledger."""
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail:
        send(ledger, mail)
    [arrived] = smtp_server.messages
    assert arrived["Date"].datetime == NOW
    assert arrived["Message-ID"] == ledger.delivery("s1", "2026-11").message_id
    assert arrived["Message-ID"].endswith("@example.com>")


def test_an_eight_bit_message_is_sent_in_seven_bits(ledger):
    """A server without 8BITMIME delivers the message, too."""
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail:
        send(ledger, mail, message=message(text="Grüße\n"))
    assert smtp_server.taken[0].content.isascii()
    assert smtp_server.messages[0].get_body().get_content().strip() == "Grüße"


def test_running_again_sends_nothing_twice(ledger):
    """Each subscription gets exactly one mail per period."""
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail:
        assert [send(ledger, mail), send(ledger, mail)] == [True, False]
    assert (len(smtp_server.taken), status(ledger)) == (1, "sent")


@pytest.mark.parametrize("failure", ["mail 451 later", "rcpt 450 greylisted", "rcpt hang up", "data 452 full"])
def test_a_temporary_failure_is_retried_under_the_same_id(ledger, failure):
    """A greylisting server gets a second try."""
    smtp_server = ScriptedServer(failure, "rcpt hang up", "ok")
    with serving(smtp_server) as mail:
        assert send(ledger, mail)
    row = ledger.delivery("s1", "2026-11")
    assert (len(smtp_server.taken), row.attempts, row.status) == (1, 3, "sent")
    assert smtp_server.messages[0]["Message-ID"] == row.message_id


def test_a_lasting_failure_is_left_to_the_next_run(ledger):
    """No report is lost while a server is down for an hour."""
    smtp_server = ScriptedServer("rcpt 450 later", "rcpt 450 later", "rcpt 450 later", "ok")
    with serving(smtp_server) as mail:
        with pytest.raises(DeferredDelivery, match="450 later"):
            send(ledger, mail)
        deferred = ledger.delivery("s1", "2026-11")
        assert send(ledger, mail)
    assert (deferred.status, deferred.attempts, status(ledger)) == ("deferred", 3, "sent")
    assert [each["Message-ID"] for each in smtp_server.messages] == [deferred.message_id]


def test_a_server_that_is_not_there_defers(ledger):
    """No report is lost while a mail server restarts."""
    with serving(ScriptedServer()) as mail:
        pass
    with pytest.raises(DeferredDelivery, match="refused"):
        send(ledger, mail)
    assert status(ledger) == "deferred"


@pytest.mark.parametrize(
    "refusal",
    [
        "mail 552 too big",
        f"rcpt 550 5.1.1 <{DEAN}> unknown; ask help@northwind.example",
        f'data 554 5.7.1 "the Northwind dean"@northwind.example alias {DEAN.upper()} is blocked',
    ],
)
def test_a_final_refusal_is_not_retried(ledger, refusal):
    """A dead address is not tried every hour, and neither the error nor the ledger names it."""
    smtp_server = ScriptedServer(refusal)
    with serving(smtp_server) as mail:
        for _ in range(2):
            with pytest.raises(RefusedDelivery, match=refusal.split()[1]) as caught:
                send(ledger, mail)
    row = ledger.delivery("s1", "2026-11")
    assert (smtp_server.tries, smtp_server.taken, row.status) == (1, [], "failed")
    assert "northwind" not in f"{caught.value} {row.error}".lower()


def test_one_refused_recipient_of_several_stops_the_message(ledger):
    """No recipient is dropped silently."""
    smtp_server = ScriptedServer("rcpt 550 unknown")
    with serving(smtp_server) as mail, pytest.raises(RefusedDelivery):
        send(ledger, mail, message=message(to=f"{DEAN}, provost@northwind.example"))
    assert (smtp_server.taken, status(ledger)) == ([], "failed")


def test_a_message_without_a_reply_is_in_doubt_and_stays_so(ledger):
    """A message that may have arrived is not sent again automatically."""
    smtp_server = ScriptedServer("data hang up", "ok")
    with serving(smtp_server) as mail:
        for _ in range(2):
            with pytest.raises(DoubtfulDelivery, match="--resend"):
                send(ledger, mail)
    assert (len(smtp_server.taken), status(ledger)) == (1, "claimed")


@pytest.mark.parametrize("first", ["data hang up", "rcpt 550 unknown", "ok"])
def test_a_resend_goes_out_under_a_new_id(ledger, first):
    """An operator can have any report sent again."""
    smtp_server = ScriptedServer(first, "data 450 later", "ok")
    with serving(smtp_server) as mail:
        if first == "ok":
            send(ledger, mail)
        else:
            with pytest.raises(DeliveryError):
                send(ledger, mail)
        former = ledger.delivery("s1", "2026-11").message_id
        assert send(ledger, mail, resend=True)
    row = ledger.delivery("s1", "2026-11")
    assert (row.status, smtp_server.seen[-2:]) == ("sent", [row.message_id] * 2)
    assert row.message_id != former


@pytest.fixture(params=["sqlite", "postgres"])
def any_ledger(request, tmp_path):
    """Return an empty state on each engine."""
    url = f"sqlite:///{tmp_path / 'state.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return state.open(url, None, {}.get)


class SlowServer(ScriptedServer):
    """A mail server whose reply to DATA waits until the test lets it go."""

    def __init__(self):
        super().__init__()
        self.is_inside, self.may_go = threading.Event(), threading.Event()

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        """Say that a sender is inside DATA, and answer when told to."""
        self.is_inside.set()
        await asyncio.to_thread(self.may_go.wait, 20)
        return await super().handle_DATA(server, session, envelope)


@pytest.mark.parametrize("resend", [False, True])
def test_of_two_senders_at_once_the_second_waits(any_ledger, resend):
    """While a run is inside DATA, another is told so, and cannot send a second mail even when asked to."""
    smtp_server = SlowServer()
    with serving(smtp_server) as mail:
        first = threading.Thread(target=send, args=(any_ledger, mail))
        first.start()
        assert smtp_server.is_inside.wait(20)
        with pytest.raises(DeliveryInProgress) as caught:
            send(any_ledger, mail, resend=resend)
        smtp_server.may_go.set()
        first.join()
    assert "is being sent by another run, since 06:00 UTC" in str(caught.value)
    assert "resend" not in str(caught.value)
    assert (len(smtp_server.taken), status(any_ledger)) == (1, "sent")


@pytest.mark.parametrize(("age", "error"), [(-1, DeliveryInProgress), (1, DoubtfulDelivery)])
def test_only_a_claim_that_is_older_than_any_attempt_is_in_doubt(any_ledger, age, error):
    """A run that was killed is told from one at work by the longest time that an attempt can take."""
    any_ledger.claim("s1", NOVEMBER, message_id="<1@x>", figures="{}", at=NOW)
    later = NOW + deliver.LONGEST_ATTEMPT + timedelta(seconds=age)
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail:
        with pytest.raises(error):
            send(any_ledger, mail, clock=lambda: later)
        if error is DoubtfulDelivery:
            assert send(any_ledger, mail, clock=lambda: later, resend=True)
        else:
            with pytest.raises(error):
                send(any_ledger, mail, clock=lambda: later, resend=True)
    assert len(smtp_server.taken) == (error is DoubtfulDelivery)


def test_an_attempt_that_is_interrupted_is_in_doubt_at_once(ledger, monkeypatch):
    """A run that was stopped by hand can be repeated without a wait."""
    monkeypatch.setattr(deliver.MailServer, "transmit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with serving(ScriptedServer()) as mail, pytest.raises(KeyboardInterrupt):
        send(ledger, mail)
    assert [row.period for row in ledger.doubtful(NOW)] == ["2026-11"]


def test_an_attempt_that_has_lasted_too_long_sends_nothing(ledger, monkeypatch):
    """A run that another may take for killed does not begin to send."""
    monkeypatch.setattr("etl.deliver.smtp._BEFORE_DATA", -1)
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail, pytest.raises(DeferredDelivery, match="too long"):
        send(ledger, mail)
    assert (smtp_server.taken, status(ledger)) == ([], "deferred")


@pytest.mark.parametrize(("answer", "is_dead"), REFUSALS, ids=[answer for answer, _ in REFUSALS])
def test_an_address_that_fails_for_good_is_told_from_any_other_failure(ledger, answer, is_dead):
    """Only a mailbox that does not exist is not written to again: not one that is full, nor a server that refuses us."""
    with serving(ScriptedServer(answer)) as mail, pytest.raises(DeliveryError) as caught:
        send(ledger, mail)
    assert isinstance(caught.value, RefusedAddress) == is_dead
    assert DEAN not in f"{caught.value} {caught.value.reason} {ledger.delivery('s1', '2026-11').error}"


# International addresses


def international(to, sender="reports@example.com"):
    """Return a landed message to an address as the stage render writes it."""
    return f"From: Reports <{sender}>\r\nTo: {to}\r\nSubject: November\r\n\r\nHello\r\n".encode()


def test_a_local_part_beyond_ascii_is_sent_where_the_server_takes_it(ledger):
    """The address is the same in the dialogue and in the header, and not encoded."""
    smtp_server = ScriptedServer()
    with serving(smtp_server, enable_SMTPUTF8=True) as mail:
        assert send(ledger, mail, message=international("büro@akademie.example"))
    [envelope] = smtp_server.taken
    assert envelope.rcpt_tos == ["büro@akademie.example"]
    assert "\r\nTo: büro@akademie.example\r\n".encode() in envelope.content


def test_a_local_part_beyond_ascii_that_no_server_takes_is_told_once(ledger):
    """Such a delivery failed for good: the reason is clear, and the next run does not try it."""
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail, pytest.raises(RefusedDelivery, match="SMTPUTF8") as caught:
        send(ledger, mail, message=international("büro@akademie.example"))
    assert (smtp_server.tries, status(ledger)) == (0, "failed")
    assert "akademie" not in str(caught.value)


def test_a_sender_that_the_server_does_not_take_fails_no_report(ledger):
    """A sender that needs SMTPUTF8 is a mistake in the configuration: reports are deferred, and check says so."""
    with serving(ScriptedServer()) as mail:
        with pytest.raises(UnusableServer, match=r"\[mail\] sender or reply_to .*SMTPUTF8"):
            send(ledger, mail, message=international(DEAN, "büro@example.com"))
        with pytest.raises(UnusableServer, match="SMTPUTF8"):
            deliver.probe(mail.model_copy(update={"sender": "büro@example.com"}), {}.get)
    assert status(ledger) == "deferred"


def test_check_tries_a_server_that_is_configured_while_mail_is_off():
    """Whoever sets the product up sees that the server answers before the first report is due, and that nothing is sent."""
    with serving(ScriptedServer()) as mail:
        off = mail.model_copy(update={"enabled": False})
        found = deliver.probe(off, {}.get)
    assert found == "the server lets us in; mail is switched off, so nothing is sent"
    gone = deliver.probe(off, {}.get)
    assert gone.startswith("is switched off, so nothing is sent; the mail server localhost is of no use (")
    assert deliver.probe(settings.Mail(), {}.get) == "is switched off; nothing is sent"


def test_a_test_may_go_to_an_international_domain():
    """--test-to takes any address that a subscription may have."""
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail:
        deliver.send_test(message(), "ich@bücher.example", mail=mail, lookup={}.get, clock=lambda: NOW)
    [arrived], [envelope] = smtp_server.messages, smtp_server.taken
    assert (envelope.rcpt_tos, arrived["To"]) == (["ich@xn--bcher-kva.example"], "ich@xn--bcher-kva.example")


# A server that repeats what it was told


PASSWORD = 'hunter <2> & "co"/+?'
ECHOES = {
    "as it is": PASSWORD,
    "in capitals": PASSWORD.upper(),
    "in Base64": base64.b64encode(PASSWORD.encode()).decode(),
    "in Base64 for URLs": base64.urlsafe_b64encode(PASSWORD.encode()).decode(),
    "in the login of PLAIN": base64.b64encode(f"\0reports@example.com\0{PASSWORD}".encode()).decode(),
    "in the login of another": base64.b64encode(f"reports\0{PASSWORD}!".encode()).decode(),
    "quoted for a URL": quote(PASSWORD, safe=""),
    "quoted for a form": quote_plus(PASSWORD),
    "quoted for HTML": html.escape(PASSWORD),
    "quoted for JSON": json.dumps(PASSWORD),
    "quoted for Python": repr(PASSWORD.encode()),
    "over two lines": PASSWORD.replace(" ", "\n", 1),
}


def leaves_nothing(text):
    """Tell whether a text has nothing of the password that could be of use."""
    words = re.findall(r"[A-Za-z0-9+/_-]{8,}", text)
    decoded = b" ".join(base64.urlsafe_b64decode(w[s:] + "A" * (-len(w[s:]) % 4)) for w in words for s in range(4))
    return not {"hunter", "2&co"} & set(re.findall(r"hunter|2&co", f"{text.lower()} {decoded!r}"))


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("code", [535, 454])
def test_a_login_that_the_server_repeats_is_in_no_error(echo, code, monkeypatch):
    """Neither check, nor a failed delivery, says a password that a server repeats, however it writes it."""
    reply = f"535 denied {ECHOES[echo]} for reports@example.com".encode()

    def refuse(*_):
        raise smtplib.SMTPAuthenticationError(code, reply)

    monkeypatch.setattr(smtplib.SMTP, "login", refuse)
    with serving(ScriptedServer()) as mail:
        own = mail.model_copy(update={"url": mail.url.replace("//", "//reports%40example.com@"), "secret": "SMTP"})
        with pytest.raises(DeliveryError) as checked:
            deliver.probe(own, {"SMTP": PASSWORD}.get)
        with pytest.raises(DeliveryError) as sent:
            deliver.send_test(message(), DEAN, mail=own, lookup={"SMTP": PASSWORD}.get, clock=lambda: NOW)
    for error in (checked, sent):
        assert "denied" in str(error.value) and leaves_nothing(str(error.value)), str(error.value)
        assert "@example.com" not in str(error.value)


@pytest.mark.parametrize(
    "echo",
    [
        "dean=40northwind.example",
        "dean%40northwind.example",
        "dean+40northwind.example",
        base64.b64encode(DEAN.encode()).decode(),
    ],
)
def test_an_encoded_address_that_the_server_repeats_is_in_no_error(ledger, echo):
    """The address of a subscriber is neither in the error nor in the ledger, however a server writes it."""
    with (
        serving(ScriptedServer(f"rcpt 550 no such user {echo} here")) as mail,
        pytest.raises(RefusedDelivery) as caught,
    ):
        send(ledger, mail)
    said = f"{caught.value} {ledger.delivery('s1', '2026-11').error}"
    assert echo not in said and "northwind" not in said and "here" in said


def test_a_test_goes_to_the_tester_alone(ledger):
    """A test mail does not reach the subscriber, works with mail off, and has no header that unsubscribes anybody."""
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail:
        off = mail.model_copy(update={"enabled": False})
        deliver.send_test(message(), "me@example.com", mail=off, lookup={}.get, clock=lambda: NOW)
    [arrived], [envelope] = smtp_server.messages, smtp_server.taken
    assert (envelope.rcpt_tos, arrived["To"]) == (["me@example.com"], "me@example.com")
    assert arrived["Subject"] == "[Test] Northwind Academy: November 2026"
    assert not {"List-Unsubscribe", "List-Unsubscribe-Post"} & set(arrived.keys())


@pytest.mark.parametrize("address", ["", "me", "a@b.example, c@d.example", "a@b.example\nBcc: c@d.example", "@b"])
def test_a_test_goes_to_one_address_or_nowhere(address):
    """A mistyped --test-to is an error."""
    with pytest.raises(ConfigurationError, match="exactly one"):
        deliver.send_test(message(), address, mail=settings.Mail(), lookup={}.get, clock=lambda: NOW)


# Encrypted and authenticated


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return the folder of a self-signed certificate for localhost: cert.pem and key.pem."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    extension = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *extension], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(params=["smtps", "smtp+starttls"])
def guarded(request, certificate, monkeypatch):
    """Return the scheme and the options of a server that requires encryption, the user `reports` and a password."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    def authenticate(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"reports", b"p@ss/word"), handled=False)

    wanted = {
        "authenticator": authenticate,
        "auth_required": True,
        "auth_require_tls": request.param != "smtps",
    }
    if request.param == "smtps":
        return request.param, {"encryption": context, **wanted}
    return request.param, {"tls_context": context, "require_starttls": True, **wanted}


def guarded_mail(mail, scheme):
    """Return the configuration of a server that requires a user and a password."""
    url = mail.url.replace("smtp://", f"{scheme}://reports@")
    return mail.model_copy(update={"url": url, "secret": "SMTP"})


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # an smtps connection is encrypted from its first byte
def test_a_guarded_server_gets_the_password_over_an_encrypted_connection(ledger, guarded):
    """Mail can be sent through servers such as providers offer."""
    (scheme, options), smtp_server = guarded, ScriptedServer()
    with serving(smtp_server, **options) as mail:
        assert send(ledger, guarded_mail(mail, scheme), lookup={"SMTP": "p@ss/word"}.get)
    assert len(smtp_server.taken) == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_wrong_password_fails_no_report(ledger, guarded):
    """When the password has expired, reports are deferred, not failed. The password is tried once."""
    (scheme, options), smtp_server = guarded, ScriptedServer()
    with serving(smtp_server, **options) as mail, pytest.raises(UnusableServer, match="535") as caught:
        send(ledger, guarded_mail(mail, scheme), lookup={"SMTP": "hunter2"}.get)
    row = ledger.delivery("s1", "2026-11")
    assert (row.status, row.attempts, smtp_server.tries) == ("deferred", 1, 0)
    assert "hunter2" not in f"{caught.value} {row.error}"


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_self_signed_certificate_is_not_trusted(ledger, guarded, monkeypatch):
    """Reports and passwords are not given to a server in the middle of the connection."""
    monkeypatch.delenv("SSL_CERT_FILE")
    (scheme, options), smtp_server = guarded, ScriptedServer()
    with serving(smtp_server, **options) as mail, pytest.raises(UnusableServer, match="self-signed"):
        send(ledger, guarded_mail(mail, scheme), lookup={"SMTP": "p@ss/word"}.get)
    assert (smtp_server.tries, status(ledger)) == (0, "deferred")


def test_a_server_without_starttls_gets_nothing(ledger):
    """Where encryption is configured, mail is never sent without it."""
    smtp_server = ScriptedServer()
    with serving(smtp_server) as mail, pytest.raises(UnusableServer, match="STARTTLS"):
        send(ledger, mail.model_copy(update={"url": mail.url.replace("smtp:", "smtp+starttls:")}))
    assert (smtp_server.tries, status(ledger)) == (0, "deferred")


@pytest.mark.parametrize(
    ("url", "secret"),
    [("smtp://localhost", "SMTP"), ("smtp://u@h", "NO"), ("smtp://u@h", "ÜMLAUT")],
)
def test_a_wrong_configuration_is_found_before_anything_is_claimed(ledger, url, secret):
    """A mistake in the configuration leaves no report in doubt."""
    with pytest.raises(ConfigurationError):
        send(ledger, settings.Mail(url=url, secret=secret, enabled=True), lookup={"SMTP": "p", "ÜMLAUT": "pä"}.get)
    assert ledger.delivery("s1", "2026-11") is None


# The unsubscribe link


@pytest.mark.parametrize("name", ["s1", "sub.with/odd characters?", "größe", ""])
def test_an_unsubscribe_token_gives_its_subscription_back(name):
    """One click ends the mails of the right subscription."""
    token = deliver.unsubscribe_token(name, "key")
    assert deliver.unsubscribed_by(token, "key") == name
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@pytest.mark.parametrize("forge", ["", ".", "czE.", "s1", "größe", "\udcff", "czE.AAAA", "czI.{signature}", "{token}A"])
def test_a_forged_token_unsubscribes_nobody(forge):
    """Nobody can end the mails of another subscription."""
    token = deliver.unsubscribe_token("s1", "key")
    assert deliver.unsubscribed_by(forge.format(token=token, signature=token.partition(".")[2]), "key") is None
    assert deliver.unsubscribed_by(token, "another key") is None
