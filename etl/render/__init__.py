"""The stage render: write the report of one figures document as HTML, PDF, CSV, XLSX and a mail.

This stage reads only the figures document, which the stage ``statistics`` lands. It uses no warehouse, no network and
no clock, so the same figures give the same bytes.

A process that has rendered must not fork afterwards, because the chart library keeps threads. A pool of renderers
must therefore use ``spawn`` or ``forkserver``.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from etl.figures import Figures
from etl.render import faces
from etl.render.logo import checked_logo
from etl.render.mail import MailOptions, message
from etl.render.page import html, is_summary
from etl.render.pdf import to_pdf
from etl.render.table import recipients_csv, recipients_xlsx

_MOST_NAMED = 5

__all__ = ["MailOptions", "html", "message", "recipients_csv", "recipients_xlsx", "render", "to_pdf"]


def render(figures: Figures, folder: Path, *, mail: MailOptions) -> list[str]:
    """Write the five files of one report into a folder, and create the folder if it is missing. Return warnings.

    The files are report.html, report.pdf, message.eml and, unless the subscription is for a summary, recipients.csv and
    recipients.xlsx. All are rendered before the first is written, and each is replaced in one step. Raise an AnalyticsError
    if no mail can be sent to the subscription's address.
    """
    page = html(figures)
    report_pdf = to_pdf(page)
    lists = {"recipients.csv": recipients_csv, "recipients.xlsx": recipients_xlsx}
    tables = {} if is_summary(figures) else {name: made(figures) for name, made in lists.items()}
    mailed = message(figures, report_pdf, tables.get("recipients.csv"), mail)
    files = {"report.html": page.encode(), "report.pdf": report_pdf, **tables, "message.eml": mailed.as_bytes()}
    folder.mkdir(parents=True, exist_ok=True)
    for name in lists.keys() - tables.keys():
        (folder / name).unlink(missing_ok=True)  # of a report from before the subscription asked for a summary
    for name, content in files.items():
        _write(folder / name, content)
    return list(_warnings(figures, page))


def _warnings(figures: Figures, page: str) -> Iterator[str]:
    """Yield what the report lacks, and what helps."""
    if left_out := checked_logo(figures["issuer"]["logo"]).left_out:
        yield f"the report is without the issuer's logo: {left_out}; have a simpler one made"
    if missing := faces.undrawn(page):
        codes = ", ".join(f"U+{ord(one):04X}" for one in missing[:_MOST_NAMED]) + (
            " and more" if missing[_MOST_NAMED:] else ""
        )
        yield f"the PDF has no letter for {codes}, and shows a box in its place; write the name without it"


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that even after a crash nobody reads half of it."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
