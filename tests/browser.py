"""A browser without a window, for tests of what people see: Chromium, which the system's packages bring."""

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000")
_POLICY = re.compile('<meta http-equiv="Content-Security-Policy"[^>]*>')


def run(page: str, script: str, folder: Path, *, width: int = 1200) -> str:
    """Return the text that a script writes: it is the body of an async function, which runs in the loaded page.

    The page's own policy forbids scripts, so it is taken off.
    """
    runner = (
        f"<script>addEventListener('load', async () => {{ await document.fonts.ready; const text = await (async () => {{{script}}})();"
        " const pre = document.createElement('pre'); pre.id = 'result'; pre.textContent = text; document.body.append(pre) })"
        "</script>"
    )
    file = folder / "page.html"
    file.write_text(_POLICY.sub("", page).replace("</body>", f"{runner}</body>"), encoding="utf-8")
    dom = _chromium(f"--window-size={width},1000", "--dump-dom", file.as_uri())
    found = re.search('<pre id="result">(.*?)</pre>', dom, re.DOTALL)
    assert found, "the script did not end"
    return unescape(found[1])


def printed(page: str, folder: Path) -> bytes:
    """Return the PDF that the browser's own print dialogue makes of a page."""
    file, made = folder / "page.html", folder / "printed.pdf"
    file.write_text(page, encoding="utf-8")
    _chromium(f"--print-to-pdf={made}", "--no-pdf-header-footer", file.as_uri())
    return made.read_bytes()


def _chromium(*arguments: str) -> str:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "Chromium is missing: install it, as `make system-packages` does"
    return subprocess.run(
        [program, *_FLAGS, *arguments], capture_output=True, check=True, encoding="utf-8", timeout=120
    ).stdout
