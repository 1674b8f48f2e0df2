"""Reports in every language: whole catalogues, plurals, directions, and no word of English left in a page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from etl.render import html
from etl.render.languages import CATALOGUES, languages, translations
from etl.render.page import TEMPLATES
from tests.test_render import Text, figures, mail

CASES = Path(__file__).parent / "cases" / "render"
TRANSLATED = [language for language in languages() if language != "en"]
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_OPTIONS = {"newstyle_gettext": "true", "silent": "false"}


def catalogue(language: str) -> Catalog:
    """Return a language's catalogue as its file has it."""
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def sentences() -> set[Any]:
    """Return every sentence of the templates; one with plurals is a pair."""
    return {message for path in TEMPLATES.rglob("*.j2") for message in _extracted(path)}


def _extracted(path: Path) -> Iterator[Any]:
    for _, message, _, _ in extract_from_file("jinja2", path, options=_OPTIONS):
        yield message[:2] if isinstance(message, tuple) else message


def texts(message: Message) -> tuple[str, ...]:
    """Return the forms of a translation."""
    return message.string if isinstance(message.string, tuple) else (message.string,)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_is_whole(language: str) -> None:
    """Each sentence of the templates is translated, in all plural forms of the language, and no other is."""
    found = catalogue(language)
    assert {message.id for message in found if message.id} == sentences()
    for message in found:
        if message.id:
            assert all(texts(message)), message.id
            assert not message.fuzzy, message.id
            assert len(texts(message)) == (found.num_plurals if message.pluralizable else 1), message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_says_what_the_sentence_says(language: str) -> None:
    """No figure, name or mark-up is lost in translation, or added; a form for one or two may say the number as a word."""
    for message in catalogue(language):
        if not message.id:
            continue
        wanted = set(_PLACEHOLDER.findall(message.id[-1] if isinstance(message.id, tuple) else message.id))
        for text in texts(message):
            named = set(_PLACEHOLDER.findall(text))
            assert named <= wanted, message.id
            assert wanted - named <= ({"n"} if message.pluralizable else set()), message.id
            assert not re.search(r"%(?!\(\w+\)s)", text.replace("%%", "")), message.id


@pytest.mark.parametrize("name", ["usual", "news", "not_final", "before_logs"])
@pytest.mark.parametrize("language", TRANSLATED)
def test_a_report_leaves_no_word_in_english(language: str, name: str) -> None:
    """Page and mail are written in the language of the subscription, beside names, and columns of recipients.csv."""
    given = figures(name)
    given |= {"subscription": given["subscription"] | {"locale": language}}
    names = {one["name"] for one in given["certificates"]} | {given["issuer"]["name"]}
    english = {line for line in Text(html(figures(name))).lines() if len(line.split()) > 2 and re.search("[a-z]", line)}
    said = {line for line in Text(html(given)).lines() if line in english}
    assert {
        line for line in said if not any(one in line for one in names) and "@" not in line and " | " not in line
    } <= {row["bounce_reason"] for row in given["recipients"]}


@pytest.mark.parametrize(("language", "direction"), [("en", "ltr"), ("de", "ltr"), ("ar", "rtl")])
def test_a_page_has_its_direction(language: str, direction: str) -> None:
    """A page in Arabic is laid out from right to left, in the report and in the mail."""
    given = figures("usual")
    given |= {"subscription": given["subscription"] | {"locale": language}}
    assert f'<html lang="{language}" dir="{direction}">' in html(given)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_report_is_as_it_was_approved(language: str) -> None:
    """Every word of the first pages and of the mail's subject is as it was approved, with the language's numbers and dates."""
    given = figures("usual")
    subscription = given["subscription"] | {"locale": language}
    approved = (CASES / "languages" / f"{language}.txt").read_text().splitlines()
    subject = str(mail("usual", subscription=subscription)["Subject"])
    assert [subject, *Text(html(given | {"subscription": subscription})).lines()] == approved


def test_a_language_has_its_plurals() -> None:
    """Arabic has another form of a noun after three, after eleven and after a hundred."""
    arabic = translations("ar")
    said = [arabic.ngettext("%(n)s recipient", "%(n)s recipients", count) for count in (0, 1, 2, 3, 11, 100)]
    assert len(set(said)) == 3
