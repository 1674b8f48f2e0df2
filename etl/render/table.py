"""The list of recipients, as recipients.csv and recipients.xlsx: every printed count can be recounted from it."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import xlsxwriter

from etl.figures import Figures
from etl.render.formatter import Formatter, formatter

COLUMNS = (
    "certificate_id", "certificate", "recipient_id", "name", "email", "status", "outcome", "todo", "new",
    "sent_at", "delivered_at", "bounced_at", "opened_at", "clicked_at", "claimed_at", "downloaded_at", "shared_at",
    "added_to_profile_at", "machine_opened_at", "machine_clicked_at", "channels", "bounce_class", "bounce_reason",
    "did_you_mean", "complained_at", "unsubscribed_at", "last_event_at",
)  # fmt: skip
TODOS = {
    "correct_typo": "Correct typos",
    "correct_address": "Correct addresses",
    "ask_for_release": "Ask for release",
    "try_again": "Try again",
    "remind_to_open": "Remind to open",
    "remind_to_claim": "Remind to claim",
    "remind_to_share": "Remind to share",
}
"""The things to do, each with the name of its sheet."""

# What a spreadsheet executes at the beginning of a cell, full-width signs too, behind anything invisible. A spreadsheet of
# a country with decimal commas splits at semicolons and line breaks, so cells begin there too.
_EXECUTABLE = re.compile("(^|[;\r\n])([\\s\\x00-\\x1f\u200b\ufeff]*[=+\\-@＝＋－＠])|^(?=[\t\r\n])")
_WIDTHS = {"certificate": 28, "name": 24, "email": 32, "bounce_reason": 48, "did_you_mean": 32}
_LONGEST_CELL = 32_767  # characters that a cell of XLSX can hold

Row = dict[str, Any]


def recipients_csv(figures: Figures) -> bytes:
    """Return the list in UTF-8 with a byte-order mark and CRLF, as spreadsheets read it.

    Times are in the subscription's zone with offset.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in _rows(figures):
        writer.writerow([_text(row[column]) for column in COLUMNS])
    return text.getvalue().encode("utf-8-sig")


def recipients_xlsx(figures: Figures) -> bytes:
    """Return the list as a workbook: all recipients, then a sheet for each thing to do.

    Times are dates of the spreadsheet, in the subscription's zone, so that each locale shows them in its own way.
    """
    content = io.BytesIO()
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False, "in_memory": True}
    with xlsxwriter.Workbook(content, options) as workbook:
        workbook.set_properties({"created": _end_of(figures)})  # not the clock: the same figures give the same bytes
        rows = list(_rows(figures))
        _add_sheet(workbook, "Recipients", rows)
        for todo, name in TODOS.items():
            if chosen := [row for row in rows if row["todo"] == todo]:
                _add_sheet(workbook, name, chosen)
    return content.getvalue()


def _add_sheet(workbook: xlsxwriter.Workbook, name: str, rows: Iterable[Row]) -> None:
    sheet = workbook.add_worksheet(name)
    bold, moment = workbook.add_format({"bold": True}), workbook.add_format({"num_format": 22})
    for column, title in enumerate(COLUMNS):
        sheet.set_column(column, column, 17 if title.endswith("_at") else _WIDTHS.get(title, 15))
    sheet.write_row(0, 0, COLUMNS, bold)
    sheet.freeze_panes(1, 0)
    last = 0
    for last, row in enumerate(rows, start=1):
        for column, title in enumerate(COLUMNS):
            value = row[title]
            if isinstance(value, datetime):
                sheet.write_datetime(last, column, value.replace(tzinfo=None, microsecond=0), moment)
            elif value:
                sheet.write_string(last, column, str(value)[:_LONGEST_CELL])
    sheet.autofilter(0, 0, last, len(COLUMNS) - 1)


def _rows(figures: Figures) -> Iterator[Row]:
    """Yield the recipients with their certificate's name, the bounced first; times are local."""
    formats = formatter(figures["subscription"]["locale"], figures["period"]["timezone"])
    names = {certificate["certificate_id"]: certificate["name"] for certificate in figures["certificates"]}
    for recipient in sorted(figures["recipients"], key=lambda row: not row["is_bounced"]):
        row: Row = {**recipient, "certificate": names.get(recipient["certificate_id"])}
        yield {column: _value(formats, column, row[column]) for column in COLUMNS}


def _value(formats: Formatter, column: str, value: Any) -> Any:
    return formats.local(value) if value and column.endswith("_at") else value


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else defused(value or "")


def _end_of(figures: Figures) -> datetime:
    return datetime.fromisoformat(figures["period"]["end_at"]).replace(tzinfo=None)


def defused(cell: str) -> str:
    """Return the text of a cell with an apostrophe before what a spreadsheet would execute."""
    return _EXECUTABLE.sub(lambda found: f"{found[1] or ''}'{found[2] or ''}", cell)
