"""Mailboxes: one address, with or without a name, in the form that every mail server takes."""

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.headerregistry import Address

import idna

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WORD = r'[^\s()<>\[\]:;@\\,."]+'
_ADDRESS = rf'({_WORD}(?:\.{_WORD})*|{_QUOTED})@([^\s()<>\[\]:;@\\,"]+|\[[^\s\[\]\\]+\])'
_BARE = re.compile(_ADDRESS)
_NAMED = re.compile(rf'((?:{_QUOTED}|[^()<>\[\]:;@\\,"])*)<{_ADDRESS}>')
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 253  # bytes (RFC 5321, 4.5.3.1)
_LONGEST_NAME = 200  # letters, so that a line of a header stays short
_LONGEST = 2000  # characters of a mailbox: room for a name in encoded words, and little work whatever the text is
_NO_TEXT = {"Cc", "Zl", "Zp", "Cs"}  # control characters, line and paragraph separators, lone surrogates


def parse(text: str) -> Address:
    """Return the one mailbox that a text is, ``Name <name@example.com>`` or ``name@example.com``.

    The domain is returned as A-labels (RFC 5890), which any server takes: ``xn--bcher-kva.example``. Raise a ValueError
    for any other text: several mailboxes, a group, an address without a domain, a name whose signs need quotes.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"it has over {_LONGEST:,} characters; correct it")
    if has_controls(text):
        raise ValueError("it holds a line break or another control character; take it out")
    bare = _BARE.fullmatch(text.strip())
    found = bare or _NAMED.fullmatch(text.strip())
    if not found:
        raise ValueError(f"it is not exactly one mailbox with a domain; {_cure(text)}")
    name, local, domain = ("", *found.groups()) if bare else found.groups()
    return Address(_name(name), _local(local), to_a_labels(domain))


def parse_address(text: str) -> Address:
    """Return the mailbox of an address alone; raise a ValueError for any other text, also for one with a name."""
    if not _BARE.fullmatch(text):
        raise ValueError("it is not exactly one address; write name@example.com")
    return parse(text)


def to_a_labels(domain: str) -> str:
    """Return a domain in ASCII; raise a ValueError where no such domain can exist. An address in brackets stays as it is."""
    if domain.startswith("["):
        return domain
    ascii_only = domain
    if not domain.isascii():
        try:
            ascii_only = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:  # signs that only the older standard allows, as in the domains of emoji
            ascii_only = _by_the_older_standard(domain)
    if len(ascii_only) > _LONGEST_DOMAIN or not all(map(_LABEL.fullmatch, ascii_only.split("."))):
        raise ValueError("its domain cannot exist; correct what stands after the @")
    return ascii_only


def has_controls(text: str) -> bool:
    """Tell whether a text holds a line break or another control character, which could begin a new header."""
    return not text.isprintable() and any(unicodedata.category(sign) in _NO_TEXT for sign in text)


def _by_the_older_standard(domain: str) -> str:
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return ""


def _name(written: str) -> str:
    """Return a name without its quotes, and with its encoded words (RFC 2047) decoded."""
    plain = re.sub(_QUOTED, lambda quoted: _unquoted(quoted[0]), written).strip()
    try:
        name = str(make_header(decode_header(plain))) if "=?" in plain else plain
    except (ValueError, LookupError, HeaderParseError):
        raise ValueError("its name has an encoded word that cannot be read; write the name as plain text") from None
    if has_controls(name) or len(name) > _LONGEST_NAME:
        raise ValueError(f"its name holds a control character or has over {_LONGEST_NAME} letters; correct it")
    return name


def _local(written: str) -> str:
    local = _unquoted(written) if written.startswith('"') else written
    if len(local.encode()) > _LONGEST_LOCAL or any(unicodedata.category(sign) == "Cf" for sign in local):
        raise ValueError("its part before the @ is too long or holds an invisible character; correct it")
    return local


def _unquoted(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted[1:-1])


def _cure(text: str) -> str:
    """Return how to write a mailbox, with the text's own name in quotes. The address is left out."""
    name = text.rpartition("<")[0] or ("" if "@" in text else text)
    name = re.sub(r"\S*@\S*", "", name.replace('"', "")).strip()
    shown = name.replace("\\", "") or "Example Academy, Inc."
    return f'write Name <name@example.com>, with quotes about a name that has signs: "{shown}" <name@example.com>'
