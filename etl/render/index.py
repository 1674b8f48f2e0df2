"""index.html: one page over the reports of a folder, for whoever looks at them before they are sent."""

from collections.abc import Iterator, Mapping
from email import policy
from email.parser import BytesHeaderParser
from pathlib import Path
from urllib.parse import quote

from etl.render import faces
from etl.render.colours import palette
from etl.render.formatter import formatter
from etl.render.page import Row, environment, style

_FILES = {
    "report.html": "HTML",
    "report.pdf": "PDF",
    "recipients.csv": "CSV",
    "recipients.xlsx": "XLSX",
    "message.eml": "Mail",
}
_HEADERS = 1 << 16  # bytes that surely hold the headers of a mail
_SIZES = ((1_000_000, "MB"), (1_000, "kB"))


def write_index(folder: Path, failures: Mapping[Path, str]) -> Path:
    """Write the page over every report below a folder, and return its path.

    ``failures`` has the sentence of each report that failed in this run, by its folder relative to ``folder``. Such a report
    is named even where it has no files, and before the others.
    """
    reports = [_report(folder, file.parent.relative_to(folder), failures) for file in folder.glob("*/*/report.html")]
    shown = {Path(one["subscription"], one["period"]) for one in reports}
    reports += [_named(path, sentence) for path, sentence in failures.items() if path not in shown]
    template = environment(formatter("en", "UTC"), is_html=True).get_template("index.html.j2")
    page = template.render(
        reports=sorted(reports, key=lambda one: (not one["failure"], one["subscription"], one["period"])),
        failures_count=len(failures),
        issuer={"name": "Certificate & Badge Analytics"},
        language="en",
        direction="ltr",
        palette=palette(None),
        fonts=faces.inter(),
        style=style(),
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8")
    return index


def _report(folder: Path, path: Path, failures: Mapping[Path, str]) -> Row:
    return _named(path, failures.get(path)) | {"subject": _subject(folder / path), "files": list(_links(folder, path))}


def _named(path: Path, failure: str | None) -> Row:
    return {"subscription": path.parent.name, "period": path.name, "subject": "", "files": [], "failure": failure}


def _subject(folder: Path) -> str:
    """Return the subject of a report's mail, which has its figures, its issuer and its period."""
    mail = folder / "message.eml"
    if not mail.is_file():
        return ""
    with mail.open("rb") as file:
        return str(BytesHeaderParser(policy=policy.default).parsebytes(file.read(_HEADERS))["Subject"])


def _links(folder: Path, path: Path) -> Iterator[Row]:
    for name, words in _FILES.items():
        file = folder / path / name
        if file.is_file():
            yield {"words": words, "url": quote(f"{path.as_posix()}/{name}"), "size": _size(file.stat().st_size)}


def _size(count: int) -> str:
    """Return a number of bytes as people write it."""
    unit, name = next(((unit, name) for unit, name in _SIZES if count >= unit), (1, "bytes"))
    return f"{count / unit:.0f} {name}"
