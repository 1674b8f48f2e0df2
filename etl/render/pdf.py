"""report.pdf: the report's HTML as a PDF, tagged for screen readers (PDF/UA-1), in the project's typefaces."""

from functools import cache

import pydyf  # type: ignore[import-untyped]
from weasyprint import CSS, HTML, Document  # type: ignore[import-untyped]
from weasyprint.text.fonts import FontConfiguration  # type: ignore[import-untyped]

from etl.render import faces
from etl.render.fetcher import data_only


def to_pdf(html: str) -> bytes:
    """Return the PDF of a page made by ``html``, which provides title, language and bookmarks.

    Only data: URLs are fetched.
    """
    fonts, styles = _fonts(faces.scripts_of(html))
    # The page contains the fonts for browsers. Unpacking them takes half a second, so it is done once for all pages.
    document = HTML(string=html.replace(faces.inter(), ""), url_fetcher=data_only())
    content: bytes = document.write_pdf(
        finisher=_describe_links, font_config=fonts, stylesheets=[styles], pdf_variant="pdf/ua-1"
    )
    return content


def _describe_links(document: Document, _: pydyf.PDF) -> None:
    """Give each link its words for screen readers, where WeasyPrint gives it the name of its target."""
    for page in document.pages:
        for *_, box in page.links:
            words = " ".join("".join(box.element.itertext()).split())
            box.link_annotation["Contents"] = pydyf.String(words)


@cache
def _fonts(scripts: tuple[str, ...]) -> tuple[FontConfiguration, CSS]:
    fonts, content = FontConfiguration(), faces.inter() + "".join(map(faces.noto, scripts))
    return fonts, CSS(string=content, font_config=fonts, url_fetcher=data_only())
