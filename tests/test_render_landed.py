"""Many reports at once: each is as if rendered by itself, none takes another down, and a page leads to all of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from etl.errors import AnalyticsError
from etl.landing import Landing
from etl.render import MailOptions, index, landed
from tests.command import die
from tests.test_render import figures

MAIL = MailOptions("reports@example.com")
FILES = {"report.html", "report.pdf", "recipients.csv", "recipients.xlsx", "message.eml"}


class Fatal:
    """Mail options that kill the process in which they arrive."""

    def __reduce__(self) -> Any:
        return die, ()


def wanted(landing: Landing, folder: Path, names: str, **differing: Any) -> list[landed.LandedReport]:
    """Return a report for each letter, with figures of that subscription; ``-`` has none, and ``!`` kills its process."""
    for name in names:
        content = json.dumps(figures("usual", subscription={"subscription_id": name})).encode()
        if name != "-":
            landing.write(landing.path(name), content)
    return [
        landed.LandedReport(name, landing.url, landing.path(name), folder / name, Fatal() if name == "!" else MAIL)
        for name in names
    ]


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of each file of a folder but the XLSX, which has the time of its making."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".xlsx"}


def test_reports_rendered_at_once_are_those_rendered_one_by_one(landing: Landing, tmp_path: Path) -> None:
    """On all cores, the same figures give the same bytes, in the order in which they were asked for."""
    one = list(landed.render_landed(wanted(landing, tmp_path / "one", "abcde"), 1))
    two = list(landed.render_landed(wanted(landing, tmp_path / "two", "abcde"), 2))
    names = [each.figures["subscription"]["subscription_id"] for each in two if isinstance(each, landed.RenderedReport)]
    assert (names, one) == (list("abcde"), two)
    assert all(files(tmp_path / "one" / name) == files(tmp_path / "two" / name) for name in "abcde")
    assert {file.name for file in (tmp_path / "two" / "a").iterdir()} == FILES


@pytest.mark.parametrize("names", ["ab-cd", "-"])
def test_a_report_without_figures_fails_alone(landing: Landing, tmp_path: Path, names: str) -> None:
    """Rendering reads landed figures and nothing else; where there are none, the error says which and what to do."""
    outcomes = list(landed.render_landed(wanted(landing, tmp_path, names), 2))
    (failure,) = (each for each in outcomes if isinstance(each, AnalyticsError))
    assert outcomes.index(failure) == names.index("-")
    assert str(failure) == "no figures are landed for the report -; run reports for it"


@pytest.mark.parametrize("names", ["a!bcd", "!abc", "abc!", "!!ab"])
def test_a_process_that_is_killed_fails_its_report_alone(landing: Landing, tmp_path: Path, names: str) -> None:
    """One report that needs more memory than there is does not keep the others from their readers."""
    outcomes = list(landed.render_landed(wanted(landing, tmp_path, names), 2))
    failed = [name for name, each in zip(names, outcomes, strict=True) if isinstance(each, AnalyticsError)]
    assert failed == [name for name in names if name == "!"]
    assert all("its process was killed" in str(each) for each in outcomes if isinstance(each, AnalyticsError))


def test_processes_are_replaced_before_they_grow(landing: Landing, tmp_path: Path, monkeypatch: Any) -> None:
    """A run of many hundred reports ends, and needs no more memory than a short one."""
    made, make = [], landed._processes
    monkeypatch.setattr(landed, "MOST_OF_A_PROCESS", 2)
    monkeypatch.setattr(landed, "_processes", lambda count: made.append(count) or make(count))
    outcomes = list(landed.render_landed(wanted(landing, tmp_path, "abcdefghi"), 2))
    assert ([type(each) for each in outcomes], made) == ([landed.RenderedReport] * 9, [2, 2, 2])


def test_a_report_without_files_is_named_in_the_index(tmp_path: Path) -> None:
    """What failed is on the page, with its reason as text, also where nothing was rendered."""
    page = index.write_index(tmp_path, {Path("s<1>", "2026-11"): "its process was <killed>"}).read_text()
    assert '1 report, <span class="bad">1 failed</span>' in " ".join(page.split())
    assert "s&lt;1&gt;" in page and "its process was &lt;killed&gt;" in page


def test_the_index_needs_no_network(landing: Landing, tmp_path: Path) -> None:
    """The page can be sent and opened anywhere: it loads nothing, and its links are relative."""
    list(landed.render_landed(wanted(landing, tmp_path / "s1", "a"), 1))
    page = index.write_index(tmp_path, {}).read_text()
    assert 'href="s1/a/report.html"' in page
    assert "of 10 claimed" in " ".join(page.split())
    assert "//" not in page.split("</style>")[-1]
