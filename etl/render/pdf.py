"""report.pdf: the report's HTML as a PDF, tagged for screen readers (PDF/UA-1), in the project's typeface."""

from functools import cache

import pydyf  # type: ignore[import-untyped]
from weasyprint import CSS, HTML, Document  # type: ignore[import-untyped]
from weasyprint.text.fonts import FontConfiguration  # type: ignore[import-untyped]

from etl.render.fetcher import data_only
from etl.render.page import font_faces


def to_pdf(html: str) -> bytes:
    """Return the PDF of a page made by ``html``, which provides title, language and bookmarks.

    Only data: URLs are fetched.
    """
    fonts, faces = _fonts()
    # The page contains the fonts for browsers. Unpacking them takes half a second, so it is done once for all pages.
    document = HTML(string=html.replace(font_faces(), ""), url_fetcher=data_only())
    content: bytes = document.write_pdf(
        finisher=_describe_links, font_config=fonts, stylesheets=[faces], pdf_variant="pdf/ua-1"
    )
    return content


def _describe_links(document: Document, _: pydyf.PDF) -> None:
    """Give each link its words for screen readers, where WeasyPrint gives it the name of its target."""
    for page in document.pages:
        for *_, box in page.links:
            words = " ".join("".join(box.element.itertext()).split())
            box.link_annotation["Contents"] = pydyf.String(words)


@cache
def _fonts() -> tuple[FontConfiguration, CSS]:
    fonts = FontConfiguration()
    return fonts, CSS(string=font_faces(), font_config=fonts, url_fetcher=data_only())
