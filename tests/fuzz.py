"""Normalise many damaged files of all formats, and hold the counts against a plain parser: ``make fuzz``.

Each file is one or several good files of the cases, joined and then damaged. A plain parser tries a document at every
brace and bracket of the same bytes. Every document that it finds, and every line of a log, must be an event, a reject or
ignored; and each reject must be on the line that it names.
"""

import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from test_normalise import HOSTILE, cases, content

from etl import normalise, settings

FILES = 100_000
_BATCH = 500
_JOINTS = [
    b"\n",
    b"\n\n",
    b"\r\n",
    b"",
    b" ",
    b",",
    b",\n",
    b"\\n",
    b"\x1e",
    b";",
    b" and ",
    b"\n# no\n",
    b"\xef\xbb\xbf",
    b"}",
    b"]",
    b"[",
    b'"',
    b"{",
]
_JUNK = [*HOSTILE, b",", b",,", b"}{", b"][", b"<html>", b"\n", b"\n\n", b"{", b"}", b"[", b"]", b'{"', b'"}', b"}}", b"0 kB", b"\x1e", b"\xef\xbb\xbf", b"\xc3", b"//", b"#"]  # fmt: skip
_PAGE = re.compile(r'"\w+"\s*:\s*\[\s*\]')
_DECODER = json.JSONDecoder(parse_int=str)


def damaged(rng: Random, good: Sequence[bytes]) -> bytes:
    """Return one to four good files, joined by anything, with up to three damages."""
    text = rng.choice(good)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        text += rng.choice(_JOINTS) + rng.choice(good)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        text = _once_more_damaged(rng, text)
    return text


def _once_more_damaged(rng: Random, text: bytes) -> bytes:
    first, second = sorted(rng.choices(range(len(text) + 1), k=2))
    lines = text.split(b"\n")
    number = rng.randrange(len(lines))
    damages: dict[str, Callable[[], bytes]] = {
        "the end is lost": lambda: text[:second],
        "the begin is lost": lambda: text[first:],
        "a piece is lost": lambda: text[:first] + text[min(second, first + 40) :],
        "a byte is another": lambda: text[:first] + rng.randbytes(1) + text[first + 1 :],
        "a bit is another": lambda: (
            text[:first] + bytes(byte ^ 1 << rng.randrange(8) for byte in text[first : first + 1]) + text[first + 1 :]
        ),
        "junk": lambda: text[:first] + rng.choice(_JUNK) + text[first:],
        "junk on a line": lambda: b"\n".join([*lines[:number], rng.choice(_JUNK), *lines[number:]]),
        "a line twice": lambda: b"\n".join([*lines[: number + 1], *lines[number:]]),
        "the last line first": lambda: b"\n".join([lines[-1], *lines[:-1]]),
    }
    return damages[rng.choice(list(damages))]()


def clean_text(raw: bytes) -> str:
    """Return a file's text as DuckDB is to get it."""
    text = raw.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", " ")
    return text.replace("\0", "\ufffd").replace("\x01", "\ufffd")


def is_json(form: str, text: str) -> bool:
    """Tell whether a file is to be read as JSON: by its format, and by its first line where the format has two layouts."""
    layout = normalise.FORMATS[form].layout
    first = next((line.strip() for line in text.split("\n") if re.match(r"\s*[^\s#]", line)), "")
    return layout.startswith("json") or (layout == "lines_or_json" and first.startswith(("{", "[")))


def record_count(form: str, text: str) -> int:
    """Return how many records a file has: at least, where it is JSON."""
    if is_json(form, text):
        return sum(map(_element_count, documents(text)))
    lines = [line for line in text.split("\n") if re.match(r"[ \t\n\f\r]*[^ \t\n\f\r#]", line)]
    return sum(
        1 for line in lines if normalise.FORMATS[form].layout == "lines" or not re.fullmatch(r"\s*\[\s*\]\s*", line)
    )


def documents(text: str) -> Iterator[Any]:
    """Yield every object and array that a plain parser finds, the outermost first.

    Comment lines hold none. A comma before a closing bracket is forgiven, as the project does.
    """
    text = re.sub(r",(?=[ \t\r\n]*[}\]])", " ", re.sub(r"^[ \t]*#.*$", "", text, flags=re.MULTILINE))
    position = 0
    while found := re.compile(r"[{\[]").search(text, position):
        try:
            value, position = _DECODER.raw_decode(text, found.start())
            yield value
        except (ValueError, RecursionError):
            position = found.end()


def _element_count(value: Any) -> int:
    """Return how many records a document has at least. An empty list in it may be a page without records."""
    if isinstance(value, list):
        return sum(map(_element_count, value))
    return int(isinstance(value, dict) and not _PAGE.search(json.dumps(value)))


@contextmanager
def counted_by_file() -> Iterator[Counter[str]]:
    """Count the records of each file that is normalised in this block, whatever became of them."""
    counts, count = Counter[str](), normalise._counts

    def counted(connection: Any) -> Any:
        files = connection.execute(
            "SELECT MAP(GETVARIABLE('files'), GETVARIABLE('origins'))[file], COUNT(*) FROM staged GROUP BY ALL"
        )
        counts.update(dict(files.fetchall()))
        return count(connection)

    with mock.patch.object(normalise, "_counts", counted):
        yield counts


def failures(form: str, files: Sequence[bytes], folder: Path) -> tuple[list[str], Counter[str]]:
    """Normalise files of one format in one run. Return a sentence for each promise that one breaks, and the counts."""
    paths = [folder / f"{number}.log" for number in range(len(files))]
    for path, raw in zip(paths, files, strict=True):
        path.write_bytes(raw)
    source = settings.Source(format=form, files="*")
    with counted_by_file() as counts, normalise.explain(paths, source, today=date(2026, 11, 23)) as explained:
        events, rejects = sum(1 for _ in explained.events), list(explained.rejects)
        total = explained.counts
    broken = (
        [] if events + len(rejects) + total.ignored == sum(counts.values()) else [f"{form}: the counts do not add up"]
    )
    texts = {str(path): clean_text(raw) for path, raw in zip(paths, files, strict=True)}
    wanted = {file: record_count(form, text) for file, text in texts.items()}
    for file, count in wanted.items():
        if counts[file] < count or (normalise.FORMATS[form].layout == "lines" and counts[file] > count):
            broken.append(f"{form} {Path(file).stem}: {counts[file]} records, {count} expected")
    for file, line, reason, raw in rejects:
        if not _is_on_its_line(texts[file], line, reason, raw):
            broken.append(f"{form} {Path(file).stem}: {raw[:60]!r} is not on line {line}")
    figures = {"files": len(files), "documents": sum(wanted.values()), "events": events, "rejects": len(rejects)}
    return broken, Counter(figures | {"ignored": total.ignored})


def _is_on_its_line(text: str, line: int, reason: str, raw: str) -> bool:
    """Tell whether the text that does not parse begins on that line, or the file is one document, of which all is line 1.

    A record that stood in a string, with escapes, cannot be found there.
    """
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return False
    begun = re.match(r"[^\s\u2026]*", raw.strip(" \t\r\n\ufeff"))
    return (
        reason != "does not parse"
        or line == 1
        or "\\" in lines[line - 1]
        or ("\\" in text and begun is not None and begun[0][:20] not in text)
        or (begun[0] if begun else "")[:20] in lines[line - 1]
    )


def good_files(form: str) -> list[bytes]:
    """Return the files of a format's cases."""
    return [content(case["raw"]) for case in cases(form)]


def fuzz(count: int, seed: int) -> Iterator[tuple[str, list[str], Counter[str]]]:
    """Yield each format with the broken promises and the counts of a batch of files, as many of each format."""
    formats, rng = list(normalise.FORMATS), Random(seed)
    for number, form in enumerate(formats):
        left = count // len(formats) + (number < count % len(formats))
        good = good_files(form)
        while left:
            files = [damaged(rng, good) for _ in range(min(left, _BATCH))]
            left -= len(files)
            with tempfile.TemporaryDirectory() as folder:
                broken, counts = failures(form, files, Path(folder))
                for sentence in broken[:5]:
                    stem = re.search(r" (\d+):", sentence)
                    print(sentence, files[int(stem[1])] if stem else "", sep="\n    ", flush=True)
            yield form, broken, counts


def main(count: int = FILES, seed: int = 1) -> int:
    """Run so many files from that seed. Return 1 where a promise was broken."""
    begun, total, broken = time.process_time(), Counter[str](), 0
    for form, sentences, counts in fuzz(count, seed):
        total += counts
        broken += len(sentences)
        print(f"{form}: {dict(total)}, {broken} failures, {time.process_time() - begun:.0f} s of CPU", flush=True)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
