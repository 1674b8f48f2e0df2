"""message.eml: the mail of one report without Message-ID and Date, which the stage ``deliver`` adds."""

import hashlib
from dataclasses import dataclass
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

import css_inline

from etl import mailbox
from etl.errors import AnalyticsError
from etl.figures import Figures, Subscription
from etl.render.formatter import formatter, without_controls
from etl.render.page import Row, context, environment

MOST_BYTES = 5_000_000  # of both attachments together: many servers refuse 10 MB, and base64 adds a third
MOST_LISTED = 25  # certificates in the mail's table: Gmail cuts a mail at 102 KB
_LONGEST_NAME = 60  # characters of an issuer's name in the subject
_ADDRESSED = ("From", "To", "Reply-To")


@dataclass(frozen=True)
class MailOptions:
    """The sender, the reply address, and the URL that unsubscribes this one subscription with one click.

    With ``is_short_when_quiet`` the mail of a period in which nothing was new is short and has no attachments.
    """

    sender: str
    reply_to: str | None = None
    unsubscribe_url: str | None = None
    is_short_when_quiet: bool = False


class _MailPolicy(EmailPolicy):
    """SMTP's line ends, and List-Unsubscribe on one line, since Python folds a long URL into one that does not work.

    Python's own folding may also lose the quotes of a name, and encode a part of an address.
    """

    def fold(self, name: str, value: Any) -> str:
        """Return a header as it is sent."""
        if name.lower() == "list-unsubscribe":
            return f"{name}: {value}{self.linesep}"
        if name in _ADDRESSED:
            return f"{name}: {_written(value.addresses[0], self.linesep)}{self.linesep}"
        # Python leaves the first line empty if the text just fits on the next; the subject would begin with a blank.
        return str(super().fold(name, value)).replace(f"{name}:{self.linesep} ", f"{name}: ", 1)

    def fold_binary(self, name: str, value: Any) -> bytes:
        """Return the same as bytes."""
        return self.fold(name, value).encode("utf-8", "surrogateescape")


def message(figures: Figures, report_pdf: bytes, csv: bytes | None, mail: MailOptions) -> EmailMessage:
    """Return the mail: a text part, an HTML part, and the files if they have at most 5 MB together.

    It comes from the issuer by name, and from the configured sender's address.

    Serialise it with its own policy (``as_bytes()``) and send those bytes. Other policies encode a long
    List-Unsubscribe header, and unsubscribing with one click then fails.
    """
    is_short = mail.is_short_when_quiet and figures["news"]["is_quiet"]
    is_attached = not is_short and len(report_pdf) + len(csv or b"") <= MOST_BYTES
    words = _words(figures, mail, is_attached=is_attached, is_short=is_short)
    made = EmailMessage(policy=_MailPolicy(linesep="\r\n"))
    _address(made, figures["subscription"], mail, " ".join(words["from"].split()))
    made["Subject"] = " ".join(words["subject"].split())
    made.set_content(words["text"], cte="quoted-printable")
    made.add_alternative(words["html"], subtype="html", cte="quoted-printable")
    if is_attached:
        name = f"certificate-statistics-{figures['period']['name']}.pdf"
        made.add_attachment(report_pdf, maintype="application", subtype="pdf", filename=name)
        if csv is not None:
            params = {"charset": "utf-8"}
            made.add_attachment(csv, maintype="text", subtype="csv", filename="recipients.csv", params=params)
    _fix_boundaries(made, words["html"])
    return made


def _words(figures: Figures, mail: MailOptions, *, is_attached: bool, is_short: bool) -> dict[str, str]:
    """Return the sender's name, subject, text and HTML of the mail. The CSS is inlined, as mail programs need it."""
    formats = formatter(figures["subscription"]["locale"], figures["period"]["timezone"])
    seen = context(figures, formats) | {
        "issuer_name": without_controls(figures["issuer"]["name"])[:_LONGEST_NAME],
        "platform": mailbox.parse(mail.sender).display_name,
        "contact": mail.reply_to or mail.sender,
        "unsubscribe_url": mail.unsubscribe_url,
        "is_attached": is_attached,
        "is_short": is_short,
        "most_listed": MOST_LISTED,
    }
    seen["certificates"] = sorted(seen["certificates"], key=_need)
    plain, marked = environment(formats, is_html=False), environment(formats, is_html=True)
    inliner = css_inline.CSSInliner(load_remote_stylesheets=False)
    return {
        "from": plain.get_template("mail.from.j2").render(seen),
        "subject": plain.get_template("mail.subject.j2").render(seen),
        "text": plain.get_template("mail.txt.j2").render(seen),
        "html": inliner.inline(marked.get_template("mail.html.j2").render(seen)),
    }


def _need(certificate: Row) -> tuple[bool, int, int]:
    """Return the key that orders the mail's table: first what can gain the most claims, last what has no recipients."""
    todos = certificate["todos"]
    to_share = todos.get("remind_to_share", 0)
    return not certificate["recipients_count"], to_share - sum(todos.values()), -to_share


def _address(made: EmailMessage, subscription: Subscription, mail: MailOptions, name: str) -> None:
    sender = mailbox.parse(mail.sender)
    made["From"] = Address(name, sender.username, sender.domain)
    try:
        made["To"] = mailbox.parse_address(subscription["email"])
    except ValueError:
        raise AnalyticsError(
            f"no mail can be sent to the address of subscription {subscription['subscription_id']}; "
            "correct it in the registry"
        ) from None
    if mail.reply_to:
        made["Reply-To"] = mailbox.parse(mail.reply_to)
    if mail.unsubscribe_url:
        made["List-Unsubscribe"] = f"<{mail.unsubscribe_url}>"
        made["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    made["Auto-Submitted"] = "auto-generated"


def _written(address: Address, linesep: str) -> str:
    """Return a mailbox as a header has it. Only an address that needs SMTPUTF8 has letters beyond ASCII."""
    if address.display_name.isascii():
        return str(address)
    words = Header(address.display_name, "utf-8", maxlinelen=60).encode(linesep=linesep)
    return f"{words} <{address.addr_spec}>"


def _fix_boundaries(made: EmailMessage, content: str) -> None:
    """Derive the boundaries from the content, so that the same figures give the same bytes."""
    seed = hashlib.sha256(content.encode()).hexdigest()[:24]
    for number, part in enumerate(part for part in made.walk() if part.is_multipart()):
        part.set_boundary(f"={number}={seed}=")
