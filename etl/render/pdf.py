"""report.pdf: the report's HTML as a PDF, tagged for screen readers (PDF/UA-1), in the project's typeface."""

from functools import cache

from weasyprint import CSS, HTML  # type: ignore[import-untyped]
from weasyprint.text.fonts import FontConfiguration  # type: ignore[import-untyped]
from weasyprint.urls import URLFetcher  # type: ignore[import-untyped]

from etl.render.page import font_faces


def to_pdf(html: str) -> bytes:
    """Return the PDF of a page made by ``html``, which provides title, language and bookmarks.

    Only data: URLs are fetched. If a logo refers to anything else, it stays blank and the failure is logged.
    """
    fonts, faces = _fonts()
    # The page contains the fonts for browsers. Unpacking them takes half a second, so it is done once for all pages.
    document = HTML(string=html.replace(font_faces(), ""), url_fetcher=_fetcher())
    content: bytes = document.write_pdf(font_config=fonts, stylesheets=[faces], pdf_variant="pdf/ua-1")
    return content


@cache
def _fonts() -> tuple[FontConfiguration, CSS]:
    fonts = FontConfiguration()
    return fonts, CSS(string=font_faces(), font_config=fonts, url_fetcher=_fetcher())


def _fetcher() -> URLFetcher:
    return URLFetcher(allowed_protocols=("data",), allow_redirects=False, fail_on_errors=True)
