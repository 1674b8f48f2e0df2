"""Promises to readers who do not see a report as its designer did: by ear, by keyboard, on paper, on a phone, in grey."""

import io
import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from pypdf.generic import IndirectObject

from etl.render import html, to_pdf
from etl.render.colours import palette
from tests import browser
from tests.test_render import bounced, figures, mail

A_AND_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def full() -> dict[str, Any]:
    """Return a report that has each of its parts: over a dozen bounces, reminders, warnings, missing slices, many networks."""
    usual = figures("not_final")
    certificate, rows = bounced(usual["certificates"][0], 16, reminders=True)
    shares = {"linkedin": 9, "x": 8, "facebook": 7, "email": 6, "qr": 5, "embed": 4, "other": 3}
    loud = certificate | {"bounced_of_sent_rate": 0.06, "shares": shares}
    return figures("not_final", certificates=[loud, *usual["certificates"][1:]], recipients=rows)


@cache
def axe() -> str:
    """Return axe-core's script, of the package that brings it; its Python is not used."""
    found = find_spec("axe_playwright_python")
    assert found and found.origin, "axe-core is missing: run `make install`"
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(page: str, rules: list[str], folder: Path, width: int) -> list[str]:
    """Return what axe finds in a page, a line for each element."""
    script = f"{axe()};const found = await axe.run({{runOnly: {json.dumps(rules)}}}); return JSON.stringify(found.violations)"
    found = json.loads(browser.run(page, script, folder, width=width))
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("name", ["full", "usual", "empty", "nobody", "hostile"])
def test_axe_finds_nothing_in_the_page(name: str, width: int, tmp_path: Path) -> None:
    """A page has no violation of WCAG 2.2 A and AA, nor of axe's best practices, on a desk or on a phone."""
    page = html(full() if name == "full" else figures(name))
    assert violations(page, [*A_AND_AA, "best-practice"], tmp_path, width) == []


@pytest.mark.parametrize("name", ["usual", "not_final", "empty"])
def test_axe_finds_nothing_in_the_mail(name: str, tmp_path: Path) -> None:
    """The mail's HTML has no violation of WCAG 2.2 A and AA, nor of axe's best practices."""
    body = mail(name).get_body(("html",))
    assert body and violations(body.get_content(), [*A_AND_AA, "best-practice"], tmp_path, 700) == []


@pytest.fixture(scope="module")
def pdf() -> Any:
    """Return a report with each of its parts as a PDF."""
    return PdfReader(io.BytesIO(to_pdf(html(full()))))


def elements(node: Any) -> list[Any]:
    """Return an element of a PDF's structure and all below it."""
    children = node.get("/K", [])
    below = children if isinstance(children, list) else [children]
    found = [child.get_object() for child in below if isinstance(child, (IndirectObject, dict))]
    return [node, *(one for child in found if "/S" in child for one in elements(child))]


def test_each_cell_of_the_pdf_has_both_its_headers(pdf: Any) -> None:
    """A screen reader says of each figure in a table what its row and what its column is."""
    for table in (one for one in elements(pdf.root_object["/StructTreeRoot"]) if one.get("/S") == "/Table"):
        rows = [[cell.get_object() for cell in row["/K"]] for row in elements(table) if row.get("/S") == "/TR"]
        in_row = [{cell["/ID"] for cell in row if cell["/S"] == "/TH"} for row in rows]
        for row, own in zip(rows, in_row, strict=True):
            for cell in row:
                headers = set(cell["/A"].get("/Headers", []))
                assert cell["/S"] == "/TH" or (headers & own and headers - own), (in_row, headers)


def test_links_of_the_pdf_have_words(pdf: Any) -> None:
    """A link is announced by the name of the certificate that it leads to, not by that of its anchor."""
    links = [note.get_object() for page in pdf.pages for note in page.get("/Annots", [])]
    assert list(dict.fromkeys(link["/Contents"] for link in links)) == ["Data Engineering Fundamentals", "Pilot Group"]


def test_charts_have_their_figures_in_words(pdf: Any) -> None:
    """The ring's alternative text has its figures, and so has each bar of the page."""
    pictures = [one for one in elements(pdf.root_object["/StructTreeRoot"]) if one.get("/S") == "/Figure"]
    assert [picture["/Alt"] for picture in pictures] == [
        "Ring of the tracked shares by network: LinkedIn 9, X 8, Facebook 7, E-mail 6, QR code 5, others 7."
    ]
    bars = re.findall(r'<div class="(?:bar|columns)"[^>]*>', html(full()))
    assert len(bars) > 20 and all(re.search(r'role="img" aria-label="[^"]*\d', bar) for bar in bars)


HEIGHTS = """return JSON.stringify([...document.querySelectorAll('details')].map(one =>
    [one.querySelector('summary').offsetHeight > 0, one.querySelector('table, dl').checkVisibility({contentVisibilityAuto: true})]))"""


@pytest.mark.parametrize(("width", "summary", "content"), [(390, True, False), (1200, False, True)])
def test_long_lists_are_folded_on_a_phone_alone(width: int, summary: bool, content: bool, tmp_path: Path) -> None:
    """On a phone a long list is a line to press, without any script; on a desk it is open and has no such line."""
    folded = json.loads(browser.run(html(full()), HEIGHTS, tmp_path, width=width))
    assert folded == [[summary, content]] * 2  # the bounced addresses of the first certificate, the definitions


def test_a_browser_prints_the_whole_page(tmp_path: Path) -> None:
    """Printed from a browser, the page keeps its bars, opens its lists, and repeats the head of a table on each page."""
    usual = figures("usual")
    many = [usual["certificates"][0] | {"certificate_id": f"c{n}", "changed_count": 0} for n in range(90)]
    printed = browser.printed(html(figures("usual", certificates=many, recipients=[])), tmp_path)
    pages = PdfReader(io.BytesIO(printed)).pages
    texts = [
        " ".join(page.extract_text().replace("\ue02c", "a").split()) for page in pages
    ]  # the face's other letter a
    with_rows = [text for text in texts if text.count("Engineering") > 2]
    assert len(with_rows) > 1 and all("Recipients" in text and "To do" in text for text in with_rows)
    assert sum("All 90" in text for text in texts) == 1
    assert "How each figure is counted" in texts[-1] and "Records and events" in texts[-1]
    drawn = re.findall(r"([\d.]+) ([\d.]+) ([\d.]+) rg", pages[0].get_contents().get_data().decode("latin-1"))
    assert palette(None).track in {"#" + "".join(f"{round(255 * float(part)):02x}" for part in one) for one in drawn}


@pytest.mark.parametrize(
    ("locale", "timezone", "width"),
    [
        ("en-US", "Europe/Berlin", 612),
        ("fr-CA", "UTC", 612),
        ("zh-Hant-CA", "UTC", 612),
        ("en-GB", "America/Los_Angeles", 612),
        ("en-GB", "US/Eastern", 612),
        ("de", "Canada/Pacific", 612),
        ("en-GB", "Europe/London", 595),
        ("es-MX", "America/Mexico_City", 595),
        ("", "UTC", 595),
    ],
)
def test_paper_is_what_the_reader_has(locale: str, timezone: str, width: int) -> None:
    """Where the locale or the time zone is of the US or Canada, the PDF is on Letter paper; everywhere else on A4."""
    made = PdfReader(io.BytesIO(to_pdf(html(figures("nobody", subscription={"locale": locale, "timezone": timezone})))))
    assert {round(float(page.mediabox.width)) for page in made.pages} == {width}


@pytest.mark.parametrize("bounces", [0, 12, 13, 90])
def test_letter_has_no_more_pages_than_a4(bounces: int) -> None:
    """A certificate has its page, or its two with over a dozen bounces, on Letter paper as well."""
    certificate, rows = bounced(figures("usual")["certificates"][0], bounces, reminders=True)
    american = {"subscription": {"locale": "en-US"}, "certificates": [certificate], "recipients": rows}
    pages = PdfReader(io.BytesIO(to_pdf(html(figures("usual", **american))))).pages
    assert len(pages) == 1 + (2 if bounces > 12 else 1) + 1
