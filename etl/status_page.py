"""Show the state of the nights: as text for a terminal, and as one HTML page that needs no network."""

import logging
from datetime import datetime
from typing import Any

from rich.filesize import decimal

from etl import resources
from etl.errors import AnalyticsError
from etl.pipeline import Context, Status, alert, described, keep_status_page, nights_status

_log = logging.getLogger(__name__)
_MARKS = {"loaded": "■", "empty": "□", "waived": "w", "failed": "!", "missing": "x"}


def text(status: Status) -> str:
    """Return the state on one screen. It ends with what needs a person, where that is anything."""
    width = max((len(source["source"]) for source in status["sources"]), default=0)
    first, last = status["days"][0], status["days"][-1]
    lines = [
        f"whole through {status['whole_through'] or 'no day yet'}",
        "",
        f"{'':{width}}  {first}{last:>{len(status['days']) - len(first)}}  through",
        *(
            f"{source['source']:{width}}  {''.join(_mark(source['slices'].get(day)) for day in status['days'])}"
            f"  {source['through'] or '–'}"  # noqa: RUF001
            for source in status["sources"]
        ),
        f"{'':{width}}  ■ loaded  □ empty  w waived  x missing  ! failed",
        "",
        f"registry      {_registry(status)}",
        f"rejects       {_listed([_reject(each) for each in status['rejects']])}",
        f"held back     {_listed(status['held'])}",
        f"in doubt      {_listed(status['doubtful'])}",
        f"dead address  {_listed(status['dead_addresses'])}",
        f"landing       {', '.join(f'{kind} {decimal(size)}' for kind, size in sorted(status['sizes'].items())) or 'empty'}",
        f"retention     {_retention(status)}",
        "",
    ]
    if not status["troubles"]:
        return "\n".join([*lines, "Nothing needs a person.", ""])
    listed = [line for each in status["troubles"] for line in (f"- {each['what']}", f"    {each['cure']}")]
    return "\n".join([*lines, "Needs a person:", *listed, ""])


def html(status: Status) -> str:
    """Return the state as an HTML page: slices by source and day, rejects, reports and sizes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  # only this page needs it

    environment = Environment(
        loader=FileSystemLoader(resources.folder("report_templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["size"] = decimal
    environment.filters["described"] = described
    return environment.get_template("status.html.j2").render(status, marks=_MARKS)


def publish(context: Context, now: datetime, link: str | None = None) -> None:
    """Write the page into the landing, and tell the data engineer what is new in it, with a link to the log of this run.

    A failure is a warning, because the night itself is done.
    """
    try:
        status = nights_status(context, now)
        keep_status_page(context, html(status))
        alert(context, status, now, link)
    except AnalyticsError as error:
        _log.warning("the state of the nights could not be shown: %s", error)


def _mark(row: dict[str, Any] | None) -> str:
    return _MARKS[row["status"]] if row else " "


def _registry(status: Status) -> str:
    if not status["registry"]:
        return "never pulled"
    left_out = [f"{reason} ({count})" for reason, count in status["registry_rejects"].items()]
    return f"{status['registry']['event']:,} rows, left out: {_listed(left_out)}"


def _retention(status: Status) -> str:
    last = status["retention"]
    return f"{last['at'][:10]} removed {described(last)}" if last else "never ran"


def _reject(reject: Any) -> str:
    return f"{reject['source']} {reject['day']}: {reject['count']:,} {reject['reason']} ({reject['example']})"


def _listed(texts: list[str]) -> str:
    return ("\n" + " " * 14).join(texts) or "none"
