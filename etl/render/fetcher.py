"""The only fetcher of pages and pictures: it takes data: URLs, and nothing from a disk or a network."""

from weasyprint.urls import URLFetcher  # type: ignore[import-untyped]


def data_only() -> URLFetcher:
    """Return a new fetcher."""
    return URLFetcher(allowed_protocols=("data",), allow_redirects=False, fail_on_errors=True)
