"""Measure reports per second in one warm process, against bare WeasyPrint on the same HTML.

Run it as ``python -m benchmarks.render``. Both render the same documents in turn, and the medians are compared. The
pipeline also renders the HTML, the charts, the CSV and the mail. It saves the unpacking of the fonts, which bare
WeasyPrint repeats for each report.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml
from weasyprint import HTML  # type: ignore[import-untyped]

from etl.render import MailOptions, html, render, to_pdf

CASES = Path(__file__).parents[1] / "tests" / "cases" / "render" / "reports.yaml"
MAIL = MailOptions("reports@example.com", None, "https://example.com/unsubscribe/token")
ROUNDS = 6  # the first warms up and is not counted


def main() -> None:
    """Print one line for each size of report."""
    print("certificates  recipients  four files   of it HTML    of it PDF  bare WeasyPrint   reports a second")
    for certificates, recipients in ((1, 20), (1, 400), (6, 400)):
        measure(certificates, recipients)


def measure(certificates: int, recipients: int) -> None:
    """Time one size of report: the four files, the HTML, the PDF, and bare WeasyPrint's PDF of that HTML."""
    document = figures(certificates, recipients)
    page = html(document)
    with tempfile.TemporaryDirectory() as folder:
        works: list[Callable[[], Any]] = [
            lambda: render(document, Path(folder), mail=MAIL),
            lambda: html(document),
            lambda: to_pdf(page),
            lambda: HTML(string=page).write_pdf(pdf_variant="pdf/ua-1"),
        ]
        seconds = [[timed(work) for work in works] for _ in range(ROUNDS)][1:]
    four_files, page_alone, pdf_alone, bare = (statistics.median(column) for column in zip(*seconds, strict=True))
    columns = f"{certificates:>12}{recipients:>12}{four_files:>10.2f} s{page_alone:>11.3f} s{pdf_alone:>11.2f} s{bare:>15.2f} s"
    print(f"{columns}   {1 / four_files:.2f}, bare {1 / bare:.2f}")


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that a function takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


def figures(certificates: int, recipients: int) -> dict[str, Any]:
    """Return the usual report of the tests, enlarged. Every twentieth recipient bounced."""
    usual: dict[str, Any] = yaml.safe_load(CASES.read_text())["usual"]
    claimed, bounced, *_ = usual["recipients"]
    ids = [f"c{number}" for number in range(certificates)]
    pages = [usual["certificates"][0] | {"certificate_id": one, "name": f"Course {one}"} for one in ids]
    people = [bounced if number % 20 == 0 else claimed for number in range(recipients)]
    rows = [person | {"certificate_id": one} for one in ids for person in people]
    return usual | {"certificates": pages, "recipients": rows}


if __name__ == "__main__":
    main()
