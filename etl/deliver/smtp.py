"""The SMTP session, step by step, because the step at which it fails decides what happened to the message.

Until the server accepts DATA, nothing has been sent. If no reply follows the message, nobody knows whether it was sent.
No error contains an address or a password.
"""

import re
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

from etl import settings
from etl.errors import (
    ConfigurationError,
    DeferredDelivery,
    DoubtfulDelivery,
    RefusedAddress,
    RefusedDelivery,
    UnusableServer,
    redacted,
)

_TIMEOUT = 60  # seconds for each of the server's replies
_DATA_TIMEOUT = 600  # for the reply that accepts the message (RFC 5321, 4.5.3.2.6): giving up early leaves doubt
_BEFORE_DATA = 20 * _TIMEOUT  # for all that comes before DATA: four connects, and the replies up to MAIL and RCPT

LONGEST = timedelta(seconds=_BEFORE_DATA + 2 * _DATA_TIMEOUT)
"""The longest time that one attempt can take: up to DATA, to send the message, and to get the reply."""

ADDRESSED = ("From", "Reply-To", "To")
_NO_SMTPUTF8 = "it takes no letters beyond ASCII before the @ of an address (SMTPUTF8)"


@dataclass(frozen=True, repr=False)
class MailServer:
    """The mail server, and the user and password to log in with."""

    scheme: str
    host: str
    port: int
    user: str
    password: str

    @classmethod
    def configured(cls, mail: settings.Mail, lookup: settings.SecretLookup) -> Self:
        """Return the server of ``[mail] url`` with the named secret; raise a ConfigurationError if they do not fit."""
        parts = urlsplit(settings.with_password(mail.url, mail.secret, lookup))
        assert parts.hostname
        if parts.password and not parts.username:
            raise ConfigurationError("[mail] secret needs a user; write [mail] url as smtps://user@host")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if not (user + password).isascii():
            raise ConfigurationError("the login of [mail] has a letter beyond ASCII, which cannot be sent; set another")
        return cls(parts.scheme, parts.hostname, parts.port or settings.MAIL_PORTS[parts.scheme], user, password)

    def transmit(self, message: EmailMessage, what: str) -> None:
        """Send one complete message, to all its recipients or to none.

        Raise DeferredDelivery or RefusedDelivery if nothing was sent, for now or for good; RefusedAddress if the address
        is the cause. Raise UnusableServer if nothing was sent and the message is not the cause. Raise DoubtfulDelivery if
        it may have been sent.
        """
        sender, recipients = _addresses(message, "From")[0], _addresses(message, "To")
        is_international = not "".join(_addresses(message, *ADDRESSED)).isascii()
        # Seven bits, so that any server can transport it; other parts are encoded anew.
        policy = SMTP.clone(cte_type="7bit", utf8=is_international, refold_source="none")  # refolding breaks long links
        content = message.as_bytes(policy=policy)
        until = time.monotonic() + _BEFORE_DATA
        step: _Step = "mail"
        try:
            with self._session() as session:
                session.ehlo_or_helo_if_needed()
                if is_international:
                    self._require_smtputf8(session, _addresses(message, "From", "Reply-To"))
                _accept(session.mail(sender, ["SMTPUTF8"] if is_international else []))
                step = "rcpt"
                for recipient in recipients:
                    _accept(session.rcpt(recipient))
                if time.monotonic() > until:  # by then another run may take this one for killed
                    raise smtplib.SMTPServerDisconnected("it took too long")
                step = "data"
                _accept(session.docmd("DATA"), 354)
                _accept(_send_content(session, content, what, message["Message-ID"]))
                with suppress(OSError):  # the server has the message, so a failed QUIT is no failure
                    session.quit()
        except OSError as error:  # smtplib's errors are OSErrors too
            failure = DeferredDelivery if _is_temporary(error) else RefusedDelivery
            if _is_of_no_mailbox(error, step):
                failure = RefusedAddress
            raise failure(what, self._reason(error, sender, *recipients)) from None

    def greet(self, ours: list[str]) -> None:
        """Open a session and end it; raise UnusableServer if that fails, or if the server does not take our addresses."""
        try:
            with self._session() as session:
                session.ehlo_or_helo_if_needed()
                if not "".join(ours).isascii():
                    self._require_smtputf8(session, ours)
        except OSError as error:
            raise UnusableServer(self.host, self._reason(error)) from None

    def _require_smtputf8(self, session: smtplib.SMTP, ours: list[str]) -> None:
        """Raise an error where the server has no SMTPUTF8: UnusableServer if it is an address of ours that needs it."""
        if not session.has_extn("smtputf8"):
            if not "".join(ours).isascii():
                raise UnusableServer(self.host, f"for [mail] sender or reply_to {_NO_SMTPUTF8}")
            raise smtplib.SMTPNotSupportedError(f"the mail server {_NO_SMTPUTF8}")

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        session = self._open()
        try:
            yield session
        finally:
            session.close()

    def _open(self) -> smtplib.SMTP:
        """Open a session, encrypted and authenticated as configured.

        Raise UnusableServer if the server refuses us for good: the configuration must be corrected.
        """
        try:
            if self.scheme == "smtps":
                context = ssl.create_default_context()
                session: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT, context=context)
            else:
                session = smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT)
            try:
                self._authenticate(session)
            except BaseException:
                session.close()
                raise
            return session
        except OSError as error:
            if _is_temporary(error):
                raise
            raise UnusableServer(self.host, self._reason(error)) from None

    def _authenticate(self, session: smtplib.SMTP) -> None:
        if self.scheme == "smtp+starttls":
            session.starttls(context=ssl.create_default_context())
        if self.user:
            session.login(self.user, self.password)

    def _reason(self, error: OSError, *addresses: str) -> str:
        """Return one line that says what went wrong, without the login and without any address."""
        text = str(error)
        if isinstance(error, smtplib.SMTPResponseException):
            reply = error.smtp_error
            text = f"{error.smtp_code} {reply.decode(errors='replace') if isinstance(reply, bytes) else reply}"
        user = self.user if "@" in self.user else None
        return redacted(text, self.password, user, *addresses) or type(error).__name__


def _addresses(message: EmailMessage, *names: str) -> list[str]:
    return [each.addr_spec for name in names if name in message for each in message[name].addresses]


def _send_content(session: smtplib.SMTP, content: bytes, what: str, message_id: str) -> tuple[int, bytes]:
    """Send the message after DATA was accepted, and return the reply. Raise DoubtfulDelivery if there is none."""
    try:
        if session.sock:
            session.sock.settimeout(_DATA_TIMEOUT)
        session.send(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
        code, text = session.getreply()
    except OSError:
        raise DoubtfulDelivery(what, message_id) from None
    if not 200 <= code < 600:
        raise DoubtfulDelivery(what, message_id)
    return code, text


def _accept(reply: tuple[int, bytes], *codes: int) -> None:
    code, text = reply
    if code not in (codes or (250, 251, 252)):  # 251 and 252: accepted, to be forwarded
        raise smtplib.SMTPResponseException(code, text)


_Step = Literal["mail", "rcpt", "data"]

# An enhanced status code (RFC 3463), also within the text, as in "(#5.1.1)".
_STATUS = re.compile(r"(?<![\d.])5\.\d{1,3}\.\d{1,3}(?!\.?\d)")
_OF_SENDER = ("5.1.7", "5.1.8")
_DISABLED = "5.2.1"
_MAILBOX = r"(?:user|mailbox|recipient|account|address)"
_NO_MAILBOX = re.compile(
    rf"(?:no such|unknown|invalid|unrouteable|disabled|inactive) (?:\w+ )?{_MAILBOX}|no mailbox"
    rf"|{_MAILBOX}\b.{{0,40}}?(?:unknown|unavailable|invalid|disabled|inactive|(?:\bnot|n.t) (?:found|known|exist))",
    re.IGNORECASE,
)


def _is_of_no_mailbox(error: OSError, step: _Step) -> bool:
    """Tell whether a reply says for good that the recipient has no mailbox.

    The enhanced status code decides. Without one, the replies 550, 551 and 553 to RCPT may also mean a policy of the server,
    so their words decide.
    """
    if not isinstance(error, smtplib.SMTPResponseException) or _is_temporary(error) or step == "mail":
        return False
    text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
    if status := _STATUS.search(text):
        return status[0] == _DISABLED or (status[0].startswith("5.1.") and status[0] not in _OF_SENDER)
    return step == "rcpt" and error.smtp_code in (550, 551, 553) and bool(_NO_MAILBOX.search(text))


def _is_temporary(error: OSError) -> bool:
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code < 500
    if isinstance(error, smtplib.SMTPException):
        return isinstance(error, smtplib.SMTPServerDisconnected)
    return not isinstance(error, ssl.SSLCertVerificationError)
