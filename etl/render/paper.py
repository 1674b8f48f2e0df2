"""report.pdf: the report's HTML on paper, tagged for screen readers (PDF/UA-1), with the fonts of this project."""

from functools import cache

from weasyprint import CSS, HTML
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import FatalURLFetchingError, URLFetcher

from etl.errors import AnalyticsError
from etl.render.page import font_faces


def pdf(html: str) -> bytes:
    """The PDF of a page made by ``html``; title, language and bookmarks come from it. Only data: URLs are fetched."""
    fonts, faces = _fonts()
    # The page carries the fonts for browsers; unpacking them costs half a second, so here they are unpacked once.
    document = HTML(string=html.replace(font_faces(), ""), url_fetcher=_fetcher())
    try:
        return document.write_pdf(font_config=fonts, stylesheets=[faces], pdf_variant="pdf/ua-1")
    except FatalURLFetchingError:
        raise AnalyticsError(
            "the report refers to something outside itself, most likely by the issuer's logo; "
            "make the logo in the registry a PNG or an SVG that embeds all it shows"
        ) from None


@cache
def _fonts() -> tuple[FontConfiguration, CSS]:
    fonts = FontConfiguration()
    return fonts, CSS(string=font_faces(), font_config=fonts, url_fetcher=_fetcher())


def _fetcher() -> URLFetcher:
    return URLFetcher(allowed_protocols=("data",), allow_redirects=False, fail_on_errors=True)
