"""report.pdf: the report's HTML on paper, tagged for screen readers (PDF/UA-1), in the project's typeface."""

from functools import cache

from weasyprint import CSS, HTML  # type: ignore[import-untyped]
from weasyprint.text.fonts import FontConfiguration  # type: ignore[import-untyped]
from weasyprint.urls import URLFetcher  # type: ignore[import-untyped]

from etl.render.page import font_faces


def to_pdf(html: str) -> bytes:
    """The PDF of a page made by ``html``, which gives it title, language and bookmarks.

    Only data: URLs are fetched. A logo that refers to anything else stays blank, which is logged.
    """
    fonts, faces = _fonts()
    # The page carries the fonts for browsers; to unpack them takes half a second, so here it is done once.
    document = HTML(string=html.replace(font_faces(), ""), url_fetcher=_fetcher())
    paper: bytes = document.write_pdf(font_config=fonts, stylesheets=[faces], pdf_variant="pdf/ua-1")
    return paper


@cache
def _fonts() -> tuple[FontConfiguration, CSS]:
    fonts = FontConfiguration()
    return fonts, CSS(string=font_faces(), font_config=fonts, url_fetcher=_fetcher())


def _fetcher() -> URLFetcher:
    return URLFetcher(allowed_protocols=("data",), allow_redirects=False, fail_on_errors=True)
