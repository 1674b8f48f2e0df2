"""The languages of a report: English, and each that has a catalogue of translations in ``report_templates/locale``."""

from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from etl import resources

CATALOGUES = resources.folder("report_templates") / "locale"
ENGLISH = "en"


def languages() -> list[str]:
    """Return the codes of all languages: that of the templates first, then those with a catalogue, such as ``de``."""
    return [ENGLISH, *sorted(path.stem for path in CATALOGUES.glob("*.po"))]


def is_written(locale: Locale) -> bool:
    """Tell whether reports are written in the language of a locale."""
    return locale.language in languages()


@cache
def translations(language: str) -> NullTranslations:
    """Return the translations of a language's catalogue; for English none, since the templates are written in it."""
    if language == ENGLISH:
        return NullTranslations()
    compiled = BytesIO()
    with (CATALOGUES / f"{language}.po").open("rb") as catalogue:
        write_mo(compiled, read_po(catalogue, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)
