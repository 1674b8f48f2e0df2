"""Measure the rendering of reports: one by one, many on all cores, and one that is very large.

Run it as ``python -m benchmarks.render [--reports 500] [--peers 30]``. Beside the pipeline run bare WeasyPrint in one warm
process and Chromium's print-to-pdf, a process a report, on the same HTML. Both give the PDF alone; the pipeline also gives
the HTML, the charts, the CSV, the XLSX and the mail.
"""

import argparse
import io
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml
from pypdf import PdfReader
from weasyprint import HTML  # type: ignore[import-untyped]

from etl.landing import Landing
from etl.render import MailOptions, html, landed, render, to_pdf

CASES = Path(__file__).parents[1] / "tests" / "cases" / "render" / "reports.yaml"
MAIL = MailOptions("reports@example.com", None, "https://example.com/unsubscribe/token")
ROUNDS = 6  # the first warms up and is not counted
SMALL = (1, 20)
LARGE = (200, 500)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def main() -> None:
    """Print the three measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reports", type=int, default=500)
    parser.add_argument("--peers", type=int, default=30, help="how many of them the peers render; the median counts")
    parser.add_argument("--large", choices=["pipeline", "bare"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.large:
        print(json.dumps(large(arguments.large)))
        return
    print("certificates  recipients  five files   of it HTML    of it PDF  bare WeasyPrint   reports a second")
    for certificates, recipients in (SMALL, (1, 400), (6, 400)):
        measure(certificates, recipients)
    many(arguments.reports, arguments.peers)
    certificates, recipients = LARGE
    print(f"\none report, {certificates} certificates, {certificates * recipients:,} recipients")
    for kind in ("pipeline", "bare"):
        print_large(kind)


def measure(certificates: int, recipients: int) -> None:
    """Time one size of report: the five files, the HTML, the PDF, and bare WeasyPrint's PDF of that HTML."""
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
    five_files, page_alone, pdf_alone, bare = (statistics.median(column) for column in zip(*seconds, strict=True))
    columns = f"{certificates:>12}{recipients:>12}{five_files:>10.2f} s{page_alone:>11.3f} s{pdf_alone:>11.2f} s{bare:>15.2f} s"
    print(f"{columns}   {1 / five_files:.2f}, bare {1 / bare:.2f}")


def many(reports: int, peers: int) -> None:
    """Print the seconds a report of many small ones, from landed figures to five files, beside the peers."""
    certificates, recipients = SMALL
    cores = landed.cores()
    print(f"\n{reports} reports of {certificates} certificate and {recipients} recipients, seconds a report")
    with tempfile.TemporaryDirectory() as folder:
        wanted = land(Path(folder), reports, figures(*SMALL))
        started = perf_counter()
        outcomes = list(landed.render_landed(wanted, cores))
        all_cores = (perf_counter() - started) / reports
        assert all(isinstance(each, landed.RenderedReport) for each in outcomes)
        one_core = statistics.median(
            timed(lambda each=each: list(landed.render_landed([each], 1))) for each in wanted[:peers]
        )
        page = Path(folder, "page.html")
        page.write_text(html(figures(*SMALL)))
        print(f"  five files, {cores} cores    {all_cores:.3f} s   {1 / all_cores:.2f} a second")
        print(f"  five files, one core   {one_core:.3f} s")
        bare = statistics.median(
            timed(lambda: HTML(filename=page).write_pdf(pdf_variant="pdf/ua-1")) for _ in range(peers)
        )
        print(f"  bare WeasyPrint, PDF   {bare:.3f} s")
        if CHROMIUM:
            print(
                f"  Chromium, PDF          {statistics.median(timed(lambda: printed(page)) for _ in range(peers)):.3f} s"
            )


def land(folder: Path, reports: int, document: dict[str, Any]) -> list[landed.LandedReport]:
    """Land the same figures for a number of reports."""
    landing = Landing(f"file://{folder}/landing")
    wanted = []
    for number in range(reports):
        path = landing.path(f"s{number}", "figures.json")
        landing.write(path, json.dumps(document).encode())
        wanted.append(landed.LandedReport(f"s{number}", landing.url, path, folder / f"s{number}", MAIL))
    return wanted


def printed(page: Path) -> None:
    """Print a page to PDF with Chromium."""
    switches = ("--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer")
    command = [str(CHROMIUM), *switches, f"--print-to-pdf={page.with_suffix('.pdf')}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)


def print_large(kind: str) -> None:
    """Render the large report in a separate process, and print pages, seconds and peak memory."""
    command = [sys.executable, "-m", "benchmarks.render", "--large", kind]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(f"  {kind:10}{found['pages']:>5} pages{found['seconds']:>8.1f} s{found['megabytes']:>8,.0f} MB at the peak")


def large(kind: str) -> dict[str, float]:
    """Return pages, seconds and peak memory of the large report: five files, or bare WeasyPrint's PDF of its HTML."""
    document = figures(*LARGE)
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        if kind == "pipeline":
            render(document, Path(folder), mail=MAIL)
            content = Path(folder, "report.pdf").read_bytes()
        else:
            content = HTML(string=html(document)).write_pdf(pdf_variant="pdf/ua-1")
        seconds = perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"pages": len(PdfReader(io.BytesIO(content)).pages), "seconds": seconds, "megabytes": peak}


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
