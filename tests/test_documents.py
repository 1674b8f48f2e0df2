"""Raw files read as clean lines, whatever a disk, a provider or a transfer has done to them."""

import gzip
import json
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from backports import zstd

from etl.normalise import documents
from etl.normalise.documents import UnreadableError


def cleaned(folder: Path, content: bytes, layout: documents.Layout = "json", name: str = "events.json") -> list[str]:
    """Return the clean lines of a file with that content."""
    return text(folder, content, layout, name).path.read_text(encoding="utf-8").split("\n")


def text(folder: Path, content: bytes, layout: documents.Layout = "json", name: str = "events.json") -> documents.Text:
    """Return the clean text of a file with that content, as it is read at first."""
    raw, scratch = folder / name, folder / "scratch"
    raw.write_bytes(content)
    scratch.mkdir(exist_ok=True)
    return documents.clean(raw, layout, scratch)


def pieces(
    folder: Path, content: bytes, layout: documents.Layout = "json", name: str = "events.json"
) -> list[tuple[int, str]]:
    """Return the documents, junk and comments of a file of which lines do not parse, each with its line of the raw file."""
    found = documents.untangled(text(folder, content, layout, name), folder / "scratch")
    assert found.shifts
    shifts = dict(map(int, line.split(",")) for line in found.shifts.read_text().splitlines())
    shift, numbered = 0, []
    for number, piece in enumerate(found.path.read_text(encoding="utf-8").split("\n")[:-1], 1):
        shift = shifts.get(number, shift)
        numbered.append((number + shift, piece))
    return numbered


def test_a_clean_file_is_read_in_place(tmp_path: Path) -> None:
    """A plain file is not copied."""
    assert text(tmp_path, b'{"a":1}\n{"a":2}\n').path.resolve() == tmp_path / "events.json"


@pytest.mark.parametrize("name", ["events.json", "events.json.gz", "events.json.zst", "day[1]*?{a}.json"])
def test_a_file_is_decompressed_by_its_ending(tmp_path: Path, name: str) -> None:
    """Plain, gzip and Zstandard files are read alike, and a name may hold any character."""
    compress = {".gz": gzip.compress, ".zst": zstd.compress}.get(Path(name).suffix, bytes)
    assert cleaned(tmp_path, compress(b'{"a":1}\n{"a":2}\n'), name=name) == ['{"a":1}', '{"a":2}', ""]


def test_compressed_parts_are_read_one_after_another(tmp_path: Path) -> None:
    """A file that was joined from compressed parts is read whole."""
    assert cleaned(tmp_path, gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"a":2}\n'), name="a.gz") == [
        '{"a":1}',
        '{"a":2}',
        "",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.gz", gzip.compress(json.dumps(list(range(9999))).encode())[:-20]),
        ("cut.zst", zstd.compress(json.dumps(list(range(9999))).encode())[:-20]),
        ("empty.gz", b""),
        ("empty.zst", b""),
        ("plain.gz", b'{"a":1}\n'),
        ("plain.zst", b'{"a":1}\n'),
        ("misnamed.json", gzip.compress(b'{"a":1}\n', mtime=0)),
        ("misnamed", zstd.compress(b'{"a":1}\n')),
        ("damaged.gz", gzip.compress(json.dumps(list(range(9999))).encode()).replace(b"\x00", b"\x07")),
    ],
)
@pytest.mark.parametrize("layout", ["json", "lines"])
def test_a_file_that_cannot_be_decompressed_is_an_error(
    tmp_path: Path, name: str, content: bytes, layout: documents.Layout
) -> None:
    """A transfer that broke off is an error, never a short day."""
    with pytest.raises(UnreadableError):
        text(tmp_path, content, layout, name)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A path to a missing file is an error."""
    with pytest.raises(UnreadableError, match="No such file"):
        documents.clean(tmp_path / "nothing.json", "json", tmp_path)


@pytest.mark.parametrize(
    ("name", "content"), [("a", b""), ("a.gz", gzip.compress(b"", mtime=0)), ("a.zst", zstd.compress(b""))]
)
def test_an_empty_file_has_no_line(tmp_path: Path, name: str, content: bytes) -> None:
    """An empty file has no lines, compressed or not."""
    assert cleaned(tmp_path, content, name=name) == [""]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b'\xef\xbb\xbf{"a":1}\r\n{"a":2}\r\n', ['{"a":1}', '{"a":2}', ""]),
        (b'{"a":1}\n{"a":"x\xff\xc3("}\n', ['{"a":1}', '{"a":"x\ufffd\ufffd("}', ""]),
        (b'{"a":1}\n{"a":"x\x01y"}\n{"a":2}\n', ['{"a":1}', '{"a":"x\ufffdy"}', '{"a":2}', ""]),
        (b'{"a":1}\n\x00\n{"a":2}\n', ['{"a":1}', "\ufffd", '{"a":2}', ""]),
    ],
)
def test_unclean_bytes_are_replaced(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    """Whatever the bytes are, DuckDB gets lines of UTF-8."""
    assert cleaned(tmp_path, content) == lines


PIECES = yaml.safe_load((Path(__file__).parent / "cases" / "normalise" / "pieces.yaml").read_text())


@pytest.mark.parametrize("case", PIECES, ids=[case["case"] for case in PIECES])
@pytest.mark.parametrize(
    ("name", "newline", "lines_before"),
    [("day.json", "\n", 0), ("day.json", "\r\n", 1), ("day.json.gz", "\n", 20_000), ("day.json.zst", "\r\n", 3)],
)
def test_every_document_and_every_stretch_of_junk_is_found(
    tmp_path: Path, case: dict[str, Any], name: str, newline: str, lines_before: int
) -> None:
    """Damage affects only itself, after any number of whole lines, and each piece has the line where it begins."""
    compress = {".gz": partial(gzip.compress, compresslevel=1), ".zst": zstd.compress}.get(Path(name).suffix, bytes)
    raw = '{"a":"text"}\n' * lines_before + case["raw"]
    found = pieces(tmp_path, compress(raw.replace("\n", newline).encode()), name=name)
    assert found[:lines_before] == [(number, '{"a":"text"}') for number in range(1, lines_before + 1)]
    assert [[line - lines_before, piece] for line, piece in found[lines_before:]] == case["pieces"]


@pytest.mark.parametrize("length", [1, 1 << 18, (1 << 20) - 30, 1 << 20, 1 << 21, 3 << 20])
@pytest.mark.parametrize("name", ["day.json", "day.json.gz"])
def test_two_documents_on_a_line_are_found_at_any_length(tmp_path: Path, name: str, length: int) -> None:
    """Two documents on a line are two, however long the first one is."""
    compress, documents_of_day = gzip.compress if name.endswith("gz") else bytes, []
    for shorter in range(-3, 3):
        first = json.dumps({"a": "x" * (length + shorter)})
        content = f'{{"a":1}}\n{first}{{"b":2}}\n'.encode()
        documents_of_day.append(len(pieces(tmp_path, compress(content), name=name)))
    assert documents_of_day == [3] * 6


@pytest.mark.parametrize(
    "content",
    [b'{"a":1}\n{"a":2}', b'{"a":1}\n[{"a":2},{"a":3}]\n', b'[]\n{"a":1}\n', b'{"a":1}\n{"a":2}\n{"a"'],
)
def test_a_document_on_each_line_is_read_in_place(tmp_path: Path, content: bytes) -> None:
    """Arrays and an incomplete last line need no copy."""
    assert text(tmp_path, content).path.resolve() == tmp_path / "events.json"


@pytest.mark.parametrize("damaged", [b'{"a":', b"no", b'{"a":1}garbage'])
def test_damage_between_lines_is_found_before_the_records_are_read(tmp_path: Path, damaged: bytes) -> None:
    """A file with a line that does not look like a document is copied at once, so that its records are read once."""
    copied = text(tmp_path, b'{"a":1}\n' + damaged + b'\n{"a":2}\n')
    assert documents.untangled(copied, tmp_path) is copied


def test_a_file_read_document_by_document_is_not_read_again(tmp_path: Path) -> None:
    """Damage in a file of spread documents does not cause a second reading."""
    spread = text(tmp_path, b'{\n"a":1}\nno\n')
    assert documents.untangled(spread, tmp_path) is spread


def test_bodies_of_forms_are_read_in_place(tmp_path: Path) -> None:
    """A plain file of posted forms is not copied."""
    content = b"event=opened&a=1\nevent=clicked&a=2\n"
    assert text(tmp_path, content).path.resolve() == tmp_path / "events.json"


@pytest.mark.parametrize(
    ("content", "is_all"),
    [
        (b'{\n"a":1\n}\n,', False),
        (b'[\n{"a":1},\n,{"a":2},\n{"a":}]', False),
        (b'{\n"a":1\n}', True),
        (b'[\n{"a":1},\n{"a":2}]', True),
        (b'{"a":1}{"a":2}', True),
        (b'{\n"a":1}\n{\n"a":2}', False),
    ],
)
def test_one_document_is_all_line_one(tmp_path: Path, content: bytes, is_all: bool) -> None:
    """A file that is one document, or one line, has no other line."""
    assert documents.untangled(text(tmp_path, content), tmp_path).is_all_line_one is is_all


def test_an_endless_line_of_a_log_is_cut(tmp_path: Path) -> None:
    """A line that never ends is one bad line, and the next one is read."""
    first, second, *_ = cleaned(tmp_path, b"x" * 20_000_000 + b"\nnext\n", "lines")
    assert len(first) < 10_000_000
    assert second == "next"


def test_an_endless_line_of_json_is_cut(tmp_path: Path) -> None:
    """A text that never ends does not affect the documents after it."""
    found = pieces(tmp_path, b'{"a":1}\n{"a":"' + b"x" * 20_000_000 + b'\n{"a":2}\n')
    assert [found[0], found[-1]] == [(1, '{"a":1}'), (3, '{"a":2}')]
    assert [line for line, _ in found] == [1, 2, 3]
    assert len(found[1][1]) < 10_000_000


def test_nesting_without_end_is_one_bad_document(tmp_path: Path) -> None:
    """Endless brackets do not stop the reading."""
    assert pieces(tmp_path, b"[" * 100_000 + b'\n{"a":1}\n') == [(2, '{"a":1}'), (1, "[")]


def test_an_array_of_any_size_is_split_in_bounded_memory(tmp_path: Path) -> None:
    """A day that comes as one line of 100 MB needs no more memory than one of 10 MB."""
    record = json.dumps({"event": "open", "text": "x" * 10_000})
    with (tmp_path / "day.json").open("w") as file:
        file.writelines(["[", *(f"{record}," for _ in range(10_000)), record, "]"])
    tracemalloc.start()
    documents.clean(tmp_path / "day.json", "json", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20


def test_bodies_of_forms_are_lines(tmp_path: Path) -> None:
    """A form that a provider posts stays one line, whatever the lines end with."""
    assert cleaned(tmp_path, b"event=opened&a=1\r\nevent=clicked&a=2\n") == [
        "event=opened&a=1",
        "event=clicked&a=2",
        "",
    ]
