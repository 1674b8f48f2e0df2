"""Promises of a report to an issuer: its page, its PDF, its CSV and its mail."""

import base64
import colorsys
import csv
import dataclasses
import email
import io
import itertools
import math
import re
import socket
import struct
import time
import zipfile
import zlib
from datetime import datetime, timedelta
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from pypdf import PdfReader

from etl.errors import AnalyticsError
from etl.render import MailOptions, html, message, recipients_csv, recipients_xlsx, render, to_pdf
from etl.render.colours import NETWORKS, OTHERS, contrast, palette
from etl.render.formatter import formatter
from etl.render.logo import MOST_SECONDS, checked_logo
from etl.render.mail import MOST_BYTES
from etl.render.table import COLUMNS, defused

CASES = Path(__file__).parent / "cases" / "render"
REPORTS = yaml.safe_load((CASES / "reports.yaml").read_text())
del REPORTS["recipient"]  # what the rows of recipients start from
URL = "https://example.com/unsubscribe/" + "t0ken" * 20
MAIL = MailOptions("Certificate reports <reports@example.com>", "help@example.com", URL)


def cases(stem: str) -> list[Any]:
    """Return the cases of a file."""
    return list(yaml.safe_load((CASES / f"{stem}.yaml").read_text()))


def figures(name: str, **changes: Any) -> dict[str, Any]:
    """Return a figures document of reports.yaml, with some of its sections changed."""
    own = {key: value for key, value in REPORTS[name].items() if key != "like"}
    whole = figures(REPORTS[name]["like"]) if "like" in REPORTS[name] else {}
    for section, change in [*own.items(), *changes.items()]:
        whole[section] = whole.get(section, {}) | change if isinstance(change, dict) else change
    return whole


class Text(HTMLParser):
    """The words of a page, one line for each block, and the names of all its tags and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.tags, self.attributes, self.is_style = "", set[str](), set[str](), False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attributes)
        self.is_style = tag == "style"
        self.words += "\n" if tag in {"p", "div", "tr", "li", "h1", "h2", "h3", "section", "dt"} else ""
        self.words += " | " if tag in {"td", "th", "dd"} else ""

    def handle_endtag(self, tag: str) -> None:
        self.is_style = False

    def handle_data(self, words: str) -> None:
        self.words += "" if self.is_style else words

    def lines(self) -> list[str]:
        """Return the visible lines, top to bottom."""
        lines = [" ".join(line.split()).removeprefix("| ") for line in self.words.split("\n")]
        return [line for line in lines if line]


def mail(name: str, **changes: dict[str, Any]) -> EmailMessage:
    """Return the mail of a report as a mail program parses it."""
    made = message(figures(name, **changes), b"%PDF", b"csv", MAIL)
    return email.message_from_bytes(made.as_bytes(), policy=policy.default)


def as_pdf(name: str, **changes: dict[str, Any]) -> Any:
    """Return the PDF of a report."""
    return PdfReader(io.BytesIO(to_pdf(html(figures(name, **changes)))))


def bookmarks(pdf: Any) -> list[tuple[str, int]]:
    """Return the bookmarks of a PDF with their pages from 0."""
    return [(mark.title, pdf.get_destination_page_number(mark)) for mark in pdf.outline]


@pytest.fixture(scope="module")
def pdf() -> Any:
    """Return the usual report as a PDF."""
    return as_pdf("usual")


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_page_says(name: str) -> None:
    """Every word and figure of a report is as it was approved, in that order."""
    approved = (CASES / f"{name}.txt").read_text().splitlines()
    method = approved.index("How each figure is counted") if name != "usual" else None
    assert Text(html(figures(name))).lines()[:method] == approved[:method]


def test_page_says_whether_links_of_the_mail_count_as_shares() -> None:
    """A report says in three definitions and beside the shares whether a click may count as a share."""
    off, on = (Text(html(figures("usual", counts_share_links=counts))).words for counts in (False, True))
    assert (off.count("in the mail"), on.count("in the mail")) == (0, 2 + 3)  # certificates, definitions


def test_page_needs_no_network() -> None:
    """A report opens from a disk: it fetches nothing, and the page forbids fetching, too."""
    page = html(figures("usual"))
    assert "default-src 'none'" in page
    assert not {"script", "link", "iframe", "object", "base"} & Text(page).tags
    assert not [word for word in ('src="http', "url(http", "@import", "url(//") if word in page]


def test_page_is_the_same_twice() -> None:
    """A report that is rendered again has the same bytes, and so has its mail."""
    first, again = (message(figures("usual"), to_pdf(html(figures("usual"))), b"", MAIL) for _ in range(2))
    assert first.as_bytes() == again.as_bytes()


def test_names_cannot_add_markup() -> None:
    """HTML in a name is shown as text, and adds no tag and no attribute to the page or the mail."""
    usual, hostile = Text(html(figures("usual"))), Text(html(figures("hostile")))
    assert (hostile.tags, hostile.attributes) == (usual.tags, usual.attributes)
    body = mail("hostile").get_body(("html",))
    assert body and not {"script", "img", "b"} & Text(body.get_content()).tags


def test_names_cannot_add_headers() -> None:
    """A line break in a name ends neither a header nor a line of the mail's text."""
    made = mail("hostile")
    body = made.get_body(("plain",))
    assert made["Bcc"] is None and "Bcc: all@contoso.example" in made["Subject"]
    assert body and not [line for line in body.get_content().splitlines() if line.startswith(("Bcc", "second"))]


def test_few_recipients_have_no_rates() -> None:
    """Below five recipients there are counts and no percentage at all, neither of mails nor of shares."""
    usual = figures("usual")
    page = html(usual | {"certificates": usual["certificates"][1:]})
    own = page.split('id="certificate-1"')[1].split("Beside your other certificates</h3>")[0]
    assert "%" not in " ".join(Text(own).lines())
    beside = page.split("Beside your other certificates</h3>")[1].split("</table>")[0]
    assert "<strong></strong>" in beside and "<strong>6" not in beside  # the rate of the others is of enough


@pytest.mark.parametrize("case", cases("software"), ids=lambda case: case["case"])
def test_software_is_shown_with_its_rules(case: dict[str, Any]) -> None:
    """Opens and clicks by software alone are shown with the rules that found them. Without any, nothing is shown."""
    usual = figures("usual")
    page = html(usual | {"certificates": [usual["certificates"][0] | case["given"]]})
    below = page.split("E-mail statistics</h3>")[1].split("</table>")[1].split('<div class="halves deep">')[0]
    assert " ".join(Text(below).lines()[1:-1]) == " ".join(
        case["expect"]
    )  # between the line that closes the sums and that of the rejected


def test_a_page_lists_bounces_and_the_head_of_each_reminder() -> None:
    """A page lists at most 36 bounced recipients and two of each reminder, and says how many more there are."""
    usual = figures("usual")
    many = [usual["recipients"][0]] * 60 + [usual["recipients"][1]] * 50
    certificate = usual["certificates"][0] | {"bounced_count": 50, "todos": {"remind_to_share": 60}}
    page = html(usual | {"certificates": [certificate], "recipients": many})
    assert (page.count("noor@contoso.example"), page.count("maria.lopez@gmial.com")) == (2, 36)
    assert "and 58 more" in page and "36 of 50 bounced addresses shown" in page


def test_a_summary_names_no_recipient(tmp_path: Path) -> None:
    """Page, PDF and mail of a summary have all counts and no recipient, and lists of an earlier report are removed."""
    render(figures("usual"), tmp_path, mail=MAIL)
    render(figures("summary"), tmp_path, mail=MAIL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["message.eml", "report.html", "report.pdf"]
    page, mailed = (tmp_path / "report.html").read_text(), mail("summary")
    pdf_text = "".join(one.extract_text() for one in PdfReader(tmp_path / "report.pdf").pages)
    words = [page, pdf_text, *(part.get_content() for part in mailed.walk() if part.get_content_maintype() == "text")]
    for row in figures("usual")["recipients"]:
        assert not any(row["email"] in text or row["name"] in text or "recipients.csv" in text for text in words)
    assert "18: 12 hard, 4 soft, 2 block" in page


@pytest.mark.parametrize("colour", [None, "#0f766e", "#ffd400", "#ffffff", "not a colour"])
def test_colour_can_be_read(colour: str | None) -> None:
    """Whatever the issuer's colour is, it has a contrast of at least 4.5 : 1 with white."""
    assert contrast(palette(colour).main, "#ffffff") >= 4.5
    assert (palette(colour).main == colour) == (colour == "#0f766e")


def perceived(colour: str) -> tuple[float, float, float]:
    """Return a colour in OKLab (Ottosson, 2020), in which distances are as people see them."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def test_warning_is_far_from_the_issuers_colour() -> None:
    """Whatever an issuer's hue is, a warning can be read and told from it by its hue, and in greyscale by its shade."""
    for hue, lightness, saturation in itertools.product(range(360), (0.2, 0.4, 0.7), (0.3, 1)):
        parts = colorsys.hls_to_rgb(hue / 360, lightness, saturation)
        made = palette("#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in parts)))
        assert contrast(made.warning, made.warning_wash) >= 4.5
        assert contrast(made.warning, made.main) >= 1.4, made
        assert math.dist(perceived(made.warning), perceived(made.main)) >= 0.1, made


def test_a_warning_has_more_than_its_colour() -> None:
    """Where over 5 % of the sent bounced, the count has a sign, and a sentence says what it means; elsewhere neither."""
    usual = figures("usual")
    assert not {"Warning:", "More than 5% of the sent mails bounced."} & set(signs("usual"))
    first, second = usual["certificates"]
    many = {"certificates": [first | {"bounced_of_sent_rate": 0.0501}, second | {"bounced_of_sent_rate": 0.5}]}
    assert signs("usual", **many) == ["Warning:"] * 2 + ["Warning:"] * 2  # its row, the sentence; the mail's alike
    assert signs("usual", domains=[usual["domains"][1] | {"bounced_of_sent_rate": 0.06}]) == ["Warning:"] * 2
    assert len(signs("not_final")) == 1 + 2 + 1  # the banner of the first page, of both certificates, of the mail


def signs(name: str, **changes: Any) -> list[str]:
    """Return the signs of a report's page and mail, by the words that stand for them."""
    body = mail(name, **changes).get_body(("html",))
    assert body
    return re.findall('class="sign"[^>]* aria-label="([^"]*)"', html(figures(name, **changes)) + body.get_content())


def test_networks_have_colours_of_their_own() -> None:
    """A network has the same colour in every report. Any two, and the others, differ in greyscale too."""
    colours = [*NETWORKS.values(), OTHERS]
    assert all(contrast(one, other) >= 1.2 for one, other in itertools.combinations(colours, 2))
    blue, red = (html(figures("usual", issuer={"color": colour})) for colour in ("#1d4ed8", "#b91c1c"))
    painted = re.compile(r'style="background:(#\w+)"></span>(\w+)')
    assert painted.findall(blue) == painted.findall(red)
    assert {name.lower(): colour for colour, name in painted.findall(blue)}.items() <= NETWORKS.items()


def test_ring_has_five_slices_and_the_others() -> None:
    """However many networks there are, the ring has at most six slices; the table and the alternative text have figures."""
    usual = figures("usual")
    shares = {name: 20 - n for n, name in enumerate([*NETWORKS, "other"])} | {"orkut": 99}
    page = html(usual | {"certificates": [usual["certificates"][0] | {"shares": shares}]})
    [ring] = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"\s+alt="([^"]*)"', page)
    drawn = re.findall(r'aria-roledescription="arc mark"[^>]* fill="(#\w+)"', base64.b64decode(ring[0]).decode())
    assert drawn == [*list(NETWORKS.values())[:5], OTHERS]
    others = 99 + sum(20 - n for n in range(5, 11))
    assert ring[1].endswith(f"X 20, QR code 19, Facebook 18, Phone’s share menu 17, E-mail 16, others {others}.")
    assert len(re.findall('class="swatch" style', page)) == 12


def test_logo_is_shown() -> None:
    """The issuer's logo is on the first page."""
    logo = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/%3E"
    page = html(figures("usual", issuer={"logo": logo}))
    assert 'alt="Northwind Academy"' in page and to_pdf(page)


def png(width: int, height: int, more: bytes = b"") -> str:
    """Return the data URL of a PNG that says that it is so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes((width + 1) * height if height < 100 else 9))
    chunks = [header, *([more] if more else []), pixels, b"IEND"]
    written = b"".join(struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + written).decode()


def svg(case: dict[str, Any]) -> str:
    """Return the SVG of a case as a data URL."""
    parts = [case["repeat"].format(n=n, next=n + 1) for n in range(case.get("times", 0))]
    inside = "".join(parts) + case.get("last", "") if parts else case.get("inside", "").replace("{png}", png(9, 9))
    opening = "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='9' height='9'>"
    whole = case.get("whole", f"{opening}{inside}</svg>").replace("{h1}", "h1" * 3000)
    return "data:image/svg+xml;base64," + base64.b64encode(whole.encode()).decode()


@pytest.mark.parametrize("case", cases("logos"), ids=lambda case: case["case"])
def test_logo_is_bounded_in_work(case: dict[str, Any], tmp_path: Path) -> None:
    """A report goes out without a logo that would take long to draw, and says so. Any usual logo is shown."""
    begun = time.process_time()
    checked_logo.cache_clear()
    checked = checked_logo(svg(case))
    assert time.process_time() - begun < MOST_SECONDS + 3
    assert (checked.shown is None) == ("left_out" in case), checked.left_out
    assert case.get("left_out", "") in (checked.left_out or "")


@pytest.mark.parametrize(
    ("logo", "left_out"),
    [
        (png(2000, 2000), None),
        (png(2001, 2000), "more than 4,000,000 pixels"),
        (png(60_000, 60_000), "more than 4,000,000 pixels"),
        (png(0, 9), "pixels"),
        (png(9, 9, b"IHDR" + struct.pack(">IIBBBBB", 13_000, 13_000, 8, 0, 0, 0, 0)), "damaged PNG"),
        (png(60_000, 60_000).replace("image/png", "image/svg+xml"), "pixels"),
        ("data:image/png;base64,aGk=", "neither a PNG nor an SVG"),
        ("data:image/png;base64," + "A" * 1_500_000, "more than 1,048,576 bytes"),
        ("data:image/png,<svg xmlns='http://www.w3.org/2000/svg'/>", "neither a PNG nor an SVG"),
        ("data:image/gif;base64,R0lGODlh", "neither a PNG nor an SVG"),
        ("https://x.example/logo.png", "neither a PNG nor an SVG"),
        (None, None),
    ],
)
def test_picture_is_bounded_in_pixels(logo: str | None, left_out: str | None) -> None:
    """A PNG of a few hundred bytes cannot ask for gigabytes, whatever it is called."""
    checked = checked_logo(logo)
    assert (left_out or "") in (checked.left_out or "") and bool(checked.left_out) == bool(left_out)


def test_report_says_that_the_logo_is_left_out(tmp_path: Path) -> None:
    """All files are written, the page has no logo, and whoever runs the reports is told why."""
    bomb = svg(next(case for case in cases("logos") if case["case"] == "uses within uses"))
    warnings = render(figures("usual", issuer={"logo": bomb}), tmp_path, mail=MAIL)
    [warning] = warnings
    assert warning.startswith("the report is without the issuer's logo: drawing it takes more than 10,000 elements")
    assert warning.endswith("; have a simpler one made")
    assert len(list(tmp_path.iterdir())) == 5 and bomb not in (tmp_path / "report.html").read_text()
    assert render(figures("usual"), tmp_path, mail=MAIL) == []


def test_logo_fetches_nothing() -> None:
    """A logo that refers to the network is left out, so nobody learns that a report was made."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        image = f"%3Cimage href='http://127.0.0.1:{server.getsockname()[1]}/a.png' width='9' height='9'/>"
        logo = f"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'>{image}%3C/svg>"
        assert len(as_pdf("usual", issuer={"logo": logo}).pages) == 4
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("case", cases("numbers"), ids=str)
def test_numbers(case: dict[str, Any]) -> None:
    """Rates have one decimal, rounded half up. Numbers, days and times follow the locale and the time zone."""
    method = next(key for key in case if key not in {"locale", "timezone", "expect"})
    formats = formatter(case["locale"], case.get("timezone", "UTC"))
    assert getattr(formats, method)(case[method]) == case["expect"]


def test_pdf_is_accessible(pdf: Any) -> None:
    """The PDF has a title, a language and tags (PDF/UA-1), so a screen reader can read it."""
    root = pdf.root_object
    assert pdf.metadata.title == "Northwind Academy: certificate statistics, November 2026"
    assert root["/Lang"] == "en-GB" and root["/MarkInfo"]["/Marked"]
    assert b"pdfuaid" in root["/Metadata"].get_data()


def test_pdf_has_a_page_for_each_part(pdf: Any) -> None:
    """The overview, each certificate and the method begin a new page, in the order of the bookmarks."""
    names = ["Overview", "Data Engineering Fundamentals", "Pilot Group", "How each figure is counted"]
    assert bookmarks(pdf) == list(zip(names, range(4), strict=True))


def test_pdf_says_what_the_page_says(pdf: Any) -> None:
    """The first page has the answer, the page of each certificate and its own number, in the project's typeface."""
    text, fonts = pdf.pages[0].extract_text(), pdf.pages[0]["/Resources"]["/Font"].values()
    assert "919 of 1,415" in text and "222 2" in " ".join(text.split()) and "1 / 4" in text
    assert all("Inter" in font["/BaseFont"] for font in fonts)


def fullness(page: Any) -> float:
    """Return how far down a page its last line is, from 0 at the upper margin to 1 at the lower one."""
    millimetre = 72 / 25.4
    top, bottom = float(page.mediabox.height) - 20 * millimetre, 17 * millimetre
    found = []

    def visit(text: str, cm: list[float], tm: list[float], *_: Any) -> None:
        height = tm[5] * cm[3] + cm[5]
        if text.strip() and bottom <= height <= top:
            found.append(height)

    page.extract_text(visitor_text=visit)
    return (top - min(found)) / (top - bottom)


def bounced(certificate: dict[str, Any], count: int, *, reminders: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a certificate with so many bounced recipients, with all that its page may hold, and its recipients."""
    name = certificate["certificate_id"]
    remind, bounce, *_ = figures("usual")["recipients"]
    todos = {todo: 99 for todo in ("remind_to_open", "remind_to_claim", "remind_to_share") if reminders}
    rows = [bounce | {"certificate_id": name}] * count
    rows += [remind | {"certificate_id": name, "todo": todo} for todo in todos for _ in range(3)]
    cohort = certificate["cohorts"][0]
    return certificate | {
        "bounced_count": count,
        "unknown_count": 19,
        "before_logs_count": 19,
        "known_recipients_count": 1000,
        "known_claimed_rate": 0.9,
        "known_shared_or_downloaded_rate": 0.9,
        "known_added_to_linkedin_rate": 0.9,
        "todos": todos,
        "cohorts": [cohort] * 4 + [cohort | {"first_date": None, "last_date": None}],
    }, rows  # fmt: skip


@pytest.mark.parametrize(("bounces", "reminders", "pages"), [
    (0, False, 1), (3, True, 1), (12, True, 1), (16, False, 2), (13, True, 2), (90, True, 2),
])  # fmt: skip
def test_pdf_has_a_page_a_certificate(bounces: int, reminders: bool, pages: int) -> None:
    """A certificate has one page, and two with over a dozen bounces. No page but the last is under a third full."""
    usual = figures("usual")
    certificate, rows = bounced(usual["certificates"][0], bounces, reminders=reminders)
    made = as_pdf("usual", certificates=[certificate], recipients=rows)
    assert len(made.pages) == 1 + pages + 1
    assert all(fullness(page) > 1 / 3 for page in made.pages[:-1])


@pytest.mark.parametrize("names", [1, 4, 9, 14, 19, 24])
def test_pdf_overview_is_full(names: int) -> None:
    """However many certificates the first page lists, none of its pages is under a third full."""
    many = [figures("usual")["certificates"][1] | {"certificate_id": f"c{n}"} for n in range(names)]
    made = as_pdf("usual", certificates=many, recipients=[])
    assert all(fullness(page) > 1 / 3 for page in made.pages[:-1])


@pytest.mark.parametrize("quiet", [{"changed_count": 0}, {"changed_count": 0, "recipients_count": 0}])
def test_pdf_of_many_certificates_is_short(quiet: dict[str, int]) -> None:
    """Of 200 certificates with 20 active ones only these have their page, and all 200 are named in 32 pages at most."""
    active, rows = bounced(figures("usual")["certificates"][0], 12, reminders=True)
    many = [active | {"name": f"Certificate {n:03}"} | (quiet if n % 10 else {}) for n in range(200)]
    made = as_pdf("usual", certificates=many, recipients=rows, totals={"certificates_count": 200})
    text = " ".join(" ".join(page.extract_text() for page in made.pages).split())
    assert len(made.pages) <= 32
    assert all(f"Certificate {n:03}" in text for n in range(200))
    assert len(bookmarks(made)) == 1 + 20 + 1
    assert all(fullness(page) > 1 / 3 for page in made.pages[:-1])


def test_certificates_are_ordered_by_need() -> None:
    """What can gain the most claims comes first, in the table and in the order of the pages; empty ones share a line."""
    usual = figures("usual")
    first, second = usual["certificates"]
    empty = [second | {"name": name, "recipients_count": 0} for name in ("Later", "Never")]
    page = Text(html(usual | {"certificates": [*empty, second | {"claims_to_gain_count": 900}, first]}))
    lines = [line for line in page.lines() if line.startswith(("Pilot Group", "Data Engineering"))]
    assert [line.split()[0] for line in lines] == ["Pilot", "Data", "Pilot", "Data"]
    assert "No recipients yet: Later, Never." in page.lines()


def test_word_people_is_for_addresses_alone() -> None:
    """The word people stands for distinct addresses; rows of the registry are recipients or credentials."""
    lines = [line for line in Text(html(figures("usual"))).lines() if "people" in line.lower()]
    assert [line.split(":")[0].split(" | ")[0] for line in lines] == [
        "These 1,415 credentials belong to 1,304 people; 871 of them have claimed at least one.", "People",
    ]  # fmt: skip


def test_pdf_withstands_names() -> None:
    """Markup, line breaks, other scripts and endless words in names leave every page in its place."""
    assert [page for _, page in bookmarks(as_pdf("hostile"))] == [0, 1, 2, 3]


@pytest.mark.parametrize("case", cases("cells"), ids=lambda case: repr(case["given"]))
def test_cells_are_safe(case: dict[str, str]) -> None:
    """No cell of the CSV is executed by a spreadsheet, and no harmless one is changed."""
    assert defused(case["given"]) == case["expect"]


def test_csv_lists_everyone() -> None:
    """recipients.csv has every recipient, the bounced first, with times in the subscription's offset."""
    raw = recipients_csv(figures("usual"))
    header, *rows = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
    assert raw.startswith(b"\xef\xbb\xbf") and raw.count(b"\r\n") == 5 and header == list(COLUMNS)
    assert [row[2] for row in rows] == ["r2", "r1", "r3", "r4"]
    first = dict(zip(header, rows[0], strict=True))
    assert {name: value for name, value in first.items() if value} == {
        "certificate_id": "c1", "certificate": "Data Engineering Fundamentals", "recipient_id": "r2", "name": "Maria Lopez",
        "email": "maria.lopez@gmial.com", "status": "bounced", "outcome": "bounced", "todo": "correct_typo",
        "sent_at": "2026-11-02T09:00:00+01:00", "bounced_at": "2026-11-13T00:30:00+01:00", "bounce_class": "hard",
        "bounce_reason": "550 5.1.2 domain does not exist", "did_you_mean": "maria.lopez@gmail.com",
        "last_event_at": "2026-11-13T00:30:00+01:00",
    }  # fmt: skip


def sheets(content: bytes) -> dict[str, list[dict[str, str]]]:
    """Return the filled cells of a workbook as XML has them: by sheet and row, each under its column's letters."""
    names = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        shared = ET.fromstring(archive.read("xl/sharedStrings.xml")).findall("m:si", names)
        texts = ["".join(text.itertext()) for text in shared]
        workbook = ET.fromstring(archive.read("xl/workbook.xml")).findall("m:sheets/m:sheet", names)
        parts = [ET.fromstring(archive.read(f"xl/worksheets/sheet{n}.xml")) for n in range(1, len(workbook) + 1)]

    def cells(row: ET.Element) -> dict[str, str]:
        found = {cell.attrib["r"].rstrip("0123456789"): cell for cell in row if cell.findtext("m:v", "", names)}
        values = {column: cell.findtext("m:v", "", names) for column, cell in found.items()}
        return {
            column: texts[int(value)] if found[column].get("t") == "s" else value for column, value in values.items()
        }

    return {
        sheet.attrib["name"]: [cells(row) for row in part.findall("m:sheetData/m:row", names)]
        for sheet, part in zip(workbook, parts, strict=True)
    }


def test_workbook_has_typed_times_and_a_sheet_for_each_thing_to_do() -> None:
    """A spreadsheet of any country shows the times in its own way, and whoever reminds opens just that list."""
    found = sheets(recipients_xlsx(figures("usual")))
    assert list(found) == ["Recipients", "Correct typos", "Remind to claim", "Remind to share"]
    assert list(found["Recipients"][0].values()) == list(COLUMNS)
    assert [row["C"] for row in found["Recipients"][1:]] == ["r2", "r1", "r3", "r4"]
    assert [row["C"] for row in found["Correct typos"][1:]] == ["r2"]
    sent_at = datetime(1899, 12, 30) + timedelta(days=float(found["Correct typos"][1]["J"]))
    assert sent_at.replace(microsecond=0) == datetime(2026, 11, 2, 9)  # Berlin's clock


def test_workbook_is_the_same_for_the_same_figures() -> None:
    """A report that is rendered again is the same file."""
    assert recipients_xlsx(figures("usual")) == recipients_xlsx(figures("usual"))


def test_workbook_executes_nothing() -> None:
    """A name that looks like a formula stays a text."""
    assert "=cmd|' /C calc'!A0" in sheets(recipients_xlsx(figures("hostile")))["Recipients"][1].values()


def test_mail_headers() -> None:
    """The mail names its sender, and one click unsubscribes from it, however long the address is."""
    made = mail("usual")
    assert made["Subject"] == "919 of 1,415 claimed, 18 bounced: Northwind Academy, November 2026"
    assert (made["From"], made["To"]) == (
        "Northwind Academy via Certificate reports <reports@example.com>",
        "dean@northwind.example",
    )
    assert (made["Reply-To"], made["Auto-Submitted"]) == ("help@example.com", "auto-generated")
    assert (made["List-Unsubscribe"], made["List-Unsubscribe-Post"]) == (
        f"<{URL}>",
        "List-Unsubscribe=One-Click",
    )
    assert made["Message-ID"] is None and made["Date"] is None


@pytest.mark.parametrize("letters", range(18, 32))
def test_subject_arrives_as_it_was_written(letters: int) -> None:
    """Wherever a header line is folded, the subject neither begins with a blank nor loses a word."""
    name = f"Academy of {'N' * (letters - 11)}"
    made = mail("usual", issuer={"name": name})
    assert made["Subject"] == f"919 of 1,415 claimed, 18 bounced: {name}, November 2026"


SENDERS = {
    # issuer, configured sender, the name that an inbox shows
    "a name": (
        "Northwind Academy",
        "Certificate reports <reports@example.com>",
        "Northwind Academy via Certificate reports",
    ),
    "no name": ("Northwind Academy", "reports@example.com", "Northwind Academy"),
    "a comma": ("Northwind, Inc.", "Reports <reports@example.com>", "Northwind, Inc. via Reports"),
    "letters": (
        "\u5317\u98a8\u5b66\u9662",
        "Berichte f\u00fcr Sie <reports@example.com>",
        "\u5317\u98a8\u5b66\u9662 via Berichte f\u00fcr Sie",
    ),
    "a line break": (
        "North\r\nBcc: a@b.example",
        "Reports <reports@example.com>",
        "North Bcc: a@b.example via Reports",
    ),
    "an address": ('"<ceo@bank.example>', "Reports <reports@example.com>", '"<ceo@bank.example> via Reports'),
    "nothing": (" ", "Reports <reports@example.com>", "Reports"),
    "very long": ("N" * 300, "Reports <reports@example.com>", "N" * 60 + " via Reports"),
}


@pytest.mark.parametrize("case", SENDERS)
def test_mail_comes_from_the_issuer_by_name(case: str) -> None:
    """An inbox shows whose certificates the mail is about. The address stays the one that may send."""
    issuer, sender, name = SENDERS[case]
    made = message(figures("usual", issuer={"name": issuer}), b"", b"", MailOptions(sender))
    (mailbox,) = email.message_from_bytes(made.as_bytes(), policy=policy.default)["From"].addresses
    assert (mailbox.display_name, mailbox.addr_spec) == (name, "reports@example.com")


def parts(made: EmailMessage) -> tuple[str, str]:
    """Return the words of a mail's text part and of its HTML part, without the address that unsubscribes."""
    bodies = [made.get_body((kind,)) for kind in ("plain", "html")]
    text, marked = (body.get_content() for body in bodies if body)
    return text.replace(URL, ""), "\n".join(Text(marked).lines())


def numbers(words: str) -> set[str]:
    """Return every number of a text, with its sign, decimals and per cent."""
    return {found.rstrip(".,") for found in re.findall(r"[+\u2212]?\d[\d.,]*%?", words)}


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_both_parts_of_a_mail_carry_the_same_numbers(name: str) -> None:
    """Whoever reads the text part, or hears it, gets every figure that the HTML part shows, and no other."""
    text, marked = parts(mail(name))
    assert numbers(text) == numbers(marked)


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_preheader_adds_to_the_subject(name: str) -> None:
    """Beside the subject an inbox shows what the subject does not say, and no line of the mail after it."""
    made = mail(name)
    body = made.get_body(("html",))
    assert body
    first = body.get_content().split("preheader", 1)[1].split(">", 1)[1].split("</div>")[0]
    shown = first.replace("&#847;", "").translate(dict.fromkeys(map(ord, "\u034f\u200c\xa0"))).strip()
    said = made["Subject"].split(":")[0].split(", ")
    assert shown and not [words for words in said if words in shown]
    assert len(first) - len(shown) > 150


def test_mail_lists_first_what_needs_most() -> None:
    """What the mail's table has no room for is what needs nothing, and the line below says so."""
    usual = figures("usual")
    certificate = usual["certificates"][0]
    many = [
        certificate | {"name": f"Course {n:02}", "todos": {"remind_to_share": n} if n % 2 else {}} for n in range(26)
    ]
    urgent = certificate | {"name": "Zoology", "todos": {"correct_typo": 3}}
    empty = usual["certificates"][1] | {"name": "Art", "recipients_count": 0, "todos": {}}
    text, marked = parts(mail("usual", certificates=[empty, *many, urgent]))
    for words in (text, marked):
        order = re.findall(r"Zoology|Art|Course \d\d", words)
        assert order[:4] == ["Zoology", "Course 25", "Course 23", "Course 21"]
        assert len(order) == 25 and "Art" not in order
        assert "And 3 more in the report; in none of them there is anything to do." in words
    waiting = [certificate | {"name": f"Course {n:02}"} for n in range(27)]
    assert (
        "And 2 more in the report; in 2 of them there is something to do."
        in parts(mail("usual", certificates=waiting))[0]
    )


def test_a_quiet_period_is_a_short_mail() -> None:
    """A mail without news is read at once: no table and no attachment, but the figures, what to do, and how to stop it."""
    made = message(figures("quiet"), b"%PDF", b"csv", dataclasses.replace(MAIL, is_short_when_quiet=True))
    assert made["Subject"].startswith("Nothing new, 919 of 1,415 claimed, ") and made["List-Unsubscribe"]
    assert [part.get_content_type() for part in made.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    for words in parts(email.message_from_bytes(made.as_bytes(), policy=policy.default)):
        assert "Nothing is new since the report of October 2026." in words
        assert "Remind 204 recipients" in words and "Your certificates" not in words
    assert len(list(mail("quiet").iter_attachments())) == 2  # where quiet periods are skipped, a resend is whole


def test_new_rows_come_first_and_say_so() -> None:
    """In the report each bounce and each name to remind that the last report did not have is marked with a word."""
    page = html(figures("news")).split('id="certificate-1"')[1]
    lines = Text(page).lines()
    assert "Bounced addresses 18: 12 hard, 4 soft, 2 block; 3 new" in lines
    first = next(n for n, line in enumerate(lines) if "@contoso.example" in line)
    assert lines[first].startswith("fresh@contoso.example new") and lines[first + 1].startswith("old@contoso.example |")
    assert any("204 12 new" in line and "newly@fabrikam.example new, li.wei@fabrikam.example" in line for line in lines)


def test_mail_can_be_unsubscribed_by_software() -> None:
    """The unsubscribe address is on one line and not encoded, since no program would find it otherwise."""
    raw = message(figures("usual"), b"", b"", MAIL).as_bytes()
    assert f"List-Unsubscribe: <{URL}>\r\n".encode() in raw


def test_mail_offers_no_unsubscribe_without_address() -> None:
    """Without a configured unsubscribe address the mail does not offer one."""
    made = message(figures("usual"), b"", b"", MailOptions("reports@example.com"))
    assert made["List-Unsubscribe"] is None and made["List-Unsubscribe-Post"] is None and made["Reply-To"] is None
    assert b"Stop these mails" not in made.as_bytes()


def test_mail_parts() -> None:
    """The mail has a body for every mail program, and the report and the list attached."""
    assert [(part.get_content_type(), part.get_filename()) for part in mail("usual").walk()] == [
        ("multipart/mixed", None),
        ("multipart/alternative", None),
        ("text/plain", None),
        ("text/html", None),
        ("application/pdf", "certificate-statistics-2026-11.pdf"),
        ("text/csv", "recipients.csv"),
    ]


@pytest.mark.parametrize(("name", "approved"), [("usual", "mail"), ("news", "mail_news")])
def test_mail_text(name: str, approved: str) -> None:
    """Read aloud, the text part gives the answer, what is new, what to do, each certificate, and why the mail came."""
    body = mail(name).get_body(("plain",))
    assert body and body.get_content().splitlines() == (CASES / f"{approved}.txt").read_text().splitlines()


def test_mail_html_is_inlined() -> None:
    """Mail programs drop style sheets, so every style is on its element. Nothing is fetched."""
    body = mail("usual").get_body(("html",))
    assert body and "style" not in Text(body.get_content()).tags and 'style="' in body.get_content()
    assert "src=" not in body.get_content() and "url(" not in body.get_content()


@pytest.mark.parametrize(("size", "is_attached"), [(MOST_BYTES - 3, True), (MOST_BYTES - 2, False)])
def test_mail_leaves_out_what_is_too_large(size: int, is_attached: bool) -> None:
    """Up to 5 MB are attached. Beyond that, the mail says so and whom to ask."""
    made = message(figures("usual"), bytes(size), b"csv", MAIL)
    text = made.get_body(("plain",))
    assert bool(list(made.iter_attachments())) == is_attached
    assert text and ("ask help@example.com" in text.get_content()) != is_attached


@pytest.mark.parametrize("address", ["", "a@b, c@d", "a@b\r\nBcc: c@d", "nobody"])
def test_mail_has_one_recipient(address: str) -> None:
    """An invalid address, or more than one, stops the mail. The error names only the subscription."""
    with pytest.raises(AnalyticsError, match="subscription s1; correct it") as error:
        mail("usual", subscription={"email": address})
    assert not address or address not in str(error.value)


MAILBOXES = {
    '"Example Academy, Inc." <reports@example.com>': b'"Example Academy, Inc." <reports@example.com>',
    "Example Academy Inc. <reports@example.com>": b'"Example Academy Inc." <reports@example.com>',
    "reports@M\u00dcNCHEN.example": b"reports@xn--mnchen-3ya.example",
    "Berichte <reports@fa\u00df.example>": b"Berichte <reports@xn--fa-hia.example>",
    "reports@\u4f8b\u3048\u3002jp": b"reports@xn--r8jz45g.jp",
    "reports@\u2603.example": b"reports@xn--n3h.example",
    '"john doe"@example.com': b'"john doe"@example.com',
    "b\u00fcro@b\u00fccher.example": "b\u00fcro@xn--bcher-kva.example".encode(),
}
"""Each mailbox as the headers have it."""


@pytest.mark.parametrize("written", MAILBOXES)
def test_mailboxes_are_such_as_any_server_takes(written: str) -> None:
    """An international domain leaves as A-labels in every header. Only a local part keeps its letters."""
    raw = message(figures("usual"), b"", b"", MailOptions(written, written)).as_bytes()
    assert b"Reply-To: " + MAILBOXES[written] + b"\r\n" in raw
    (header,) = [line for line in raw.split(b"\r\n") if line.startswith(b"From: ")]
    assert header.endswith(MAILBOXES[written].rpartition(b"<")[2].rstrip(b">") + b">")
    if "<" not in written:
        raw = message(figures("usual", subscription={"email": written}), b"", b"", MAIL).as_bytes()
        assert b"To: " + MAILBOXES[written] + b"\r\n" in raw
    assert b"@=?" not in raw


@pytest.mark.parametrize(
    "name",
    [
        "Zertifikate \u00dcbersicht, GmbH",
        "\u00c9cole: \u00ab Rapports \u00bb (tous)",
        "\u8b49\u660e\u66f8, " * 20,
        'A "quoted\\" name',
        "Long, " * 30,
    ],
)
def test_names_of_senders_arrive_as_they_were_written(name: str) -> None:
    """Signs that separate addresses are read by a mail program as a part of the name."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    made = message(figures("usual"), b"", b"", MailOptions(f'"{quoted}" <reports@example.com>'))
    sent = email.message_from_bytes(made.as_bytes(), policy=policy.compat32)["From"]
    [(words, address)] = getaddresses([sent])
    assert (str(make_header(decode_header(words))), address) == (
        f"Northwind Academy via {name.strip()}",
        "reports@example.com",
    )


def test_files_are_made_for_an_address_that_few_servers_take(tmp_path: Path) -> None:
    """A local part beyond ASCII keeps no report from being made; its footer has the address as it was written."""
    address = "b\u00fcro@b\u00fccher.example"
    render(figures("usual", subscription={"email": address}), tmp_path, mail=MAIL)
    assert (tmp_path / "report.pdf").is_file()
    body = email.message_from_bytes((tmp_path / "message.eml").read_bytes(), policy=policy.default).get_body(("plain",))
    assert body and address in body.get_content()


def test_files_are_whole(tmp_path: Path) -> None:
    """A report is five files. A failed rendering leaves the former report unchanged."""
    render(figures("usual"), tmp_path / "s1" / "2026-11", mail=MAIL)
    former = {file.name: file.read_bytes() for file in (tmp_path / "s1" / "2026-11").iterdir()}
    with pytest.raises(AnalyticsError):
        render(figures("hostile", subscription={"email": "none"}), tmp_path / "s1" / "2026-11", mail=MAIL)
    assert sorted(former) == ["message.eml", "recipients.csv", "recipients.xlsx", "report.html", "report.pdf"]
    assert {file.name: file.read_bytes() for file in (tmp_path / "s1" / "2026-11").iterdir()} == former
