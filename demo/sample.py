"""Write the sample report in `docs/sample/` from the figures that the demo left in `.demo/`.

`make sample` runs the demo first where it has not run. Run it whenever the look of a report changes.
"""

import sys
from pathlib import Path

from demo.airflow import HOME
from etl import figures, render

REPORT = Path("harbour-monthly", "2026-10")
SAMPLE = Path(__file__).parents[1] / "docs" / "sample"


def main() -> int:
    """Write report.html and report.pdf. Return 1 where the demo has not run."""
    landed = HOME / "landing" / "reports" / REPORT / "figures.json"
    if not landed.is_file():
        print(f"there is no {landed}; run `make demo` first", file=sys.stderr)
        return 1
    page = render.html(figures.parse(landed.read_bytes()))
    SAMPLE.mkdir(exist_ok=True)
    for name, content in (("report.html", page.encode()), ("report.pdf", render.to_pdf(page))):
        (SAMPLE / name).write_bytes(content)
        print(f"docs/sample/{name}  {len(content) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
