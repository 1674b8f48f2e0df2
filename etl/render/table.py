"""recipients.csv: every recipient of a report in one table, bounced ones first, safe to open in a spreadsheet."""

import csv
import io
import re
from typing import Any

from etl.figures import Figures
from etl.render.formatter import formatter

COLUMNS = (
    "certificate_id", "certificate", "recipient_id", "name", "email",
    "status", "is_bounced", "bounce_class", "bounce_reason", "last_event_at",
)  # fmt: skip

# The signs with which a spreadsheet begins a formula, full-width ones too, also after invisible characters. In a
# locale with decimal commas, a spreadsheet splits at semicolons and line breaks, so a cell can begin there too.
_EXECUTABLE = re.compile("(^|[;\r\n])([\\s\\x00-\\x1f\u200b\ufeff]*[=+\\-@＝＋－＠])|^(?=[\t\r\n])")


def recipients_csv(figures: Figures) -> bytes:
    """Return the table in UTF-8 with a byte-order mark and CRLF, for spreadsheets; times are in the period's zone."""
    formats = formatter(figures["subscription"]["locale"], figures["period"]["timezone"])
    names = {certificate["certificate_id"]: certificate["name"] for certificate in figures["certificates"]}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for recipient in sorted(figures["recipients"], key=lambda row: not row["is_bounced"]):
        row: dict[str, Any] = {
            **recipient,
            "certificate": names.get(recipient["certificate_id"]),
            "is_bounced": "true" if recipient["is_bounced"] else "false",
            "last_event_at": formats.stamp(recipient["last_event_at"]),
        }
        writer.writerow([defused(row[column] or "") for column in COLUMNS])
    return text.getvalue().encode("utf-8-sig")


def defused(cell: str) -> str:
    """Return a cell's text with an apostrophe before anything that a spreadsheet would execute."""
    return _EXECUTABLE.sub(lambda found: f"{found[1] or ''}'{found[2] or ''}", cell)
