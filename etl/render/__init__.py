"""Turns the landed figures of one report into report.html, report.pdf, recipients.csv and message.eml.

Nothing but the figures document (written by the stage ``statistics``) is read: no warehouse, no network, no
clock, so the same figures give the same bytes. A process that has rendered must not fork afterwards, for the
chart library keeps threads: a pool of renderers uses ``spawn`` or ``forkserver``.
"""

import os
import tempfile
from pathlib import Path

from etl.figures import Figures
from etl.render.mail import MailOptions, message
from etl.render.page import html
from etl.render.pdf import to_pdf
from etl.render.table import recipients_csv

__all__ = ["MailOptions", "html", "message", "recipients_csv", "render", "to_pdf"]


def render(figures: Figures, folder: Path, *, mail: MailOptions) -> None:
    """Write the four files of one report into a folder, which is made where it is missing.

    All four are made before the first is written, and each is there whole or not at all. ``AnalyticsError``
    where no mail can be sent to the subscription's address.
    """
    page = html(figures)
    report_pdf, table = to_pdf(page), recipients_csv(figures)
    files = {
        "report.html": page.encode(),
        "report.pdf": report_pdf,
        "recipients.csv": table,
        "message.eml": message(figures, report_pdf, table, mail).as_bytes(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _write(folder / name, content)


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader, or a crash, never meets half of it."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
