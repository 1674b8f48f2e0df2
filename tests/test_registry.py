"""The registry's rows are kept or rejected, and a damaged registry never replaces the loaded one."""

import codecs
import csv
import io
import re
import time
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as some
from pyarrow import parquet

from etl import extract, settings
from etl.errors import RegistryError
from etl.landing import Landing
from etl.normalise import registry, session, spreadsheets

USUAL = {
    "issuers": "i1,Northwind,,",
    "certificates": "c1,i1,Data Literacy,certificate,2026-03-01T08:00:00Z",
    "recipients": "",
    "subscriptions": "",
}
CASES = yaml.safe_load(Path("tests/cases/registry/rules.yaml").read_text())


def write(folder, given):
    """Write the four CSV files of a case. A text that does not begin with a known header gets the usual one."""
    folder.mkdir(exist_ok=True)
    for table, rows in {**USUAL, **given}.items():
        names = registry.HEADERS[table]
        first = re.sub("[ -]", "_", rows.split("\n")[0].lower())
        has_header = all(name in first for name in names if name not in ("logo", "color"))
        text = rows if has_header else f"{','.join(names)}\n{rows}"
        (folder / f"{table}.csv").write_bytes(text.encode())


def pull(landing, folder, *, replace=False, forgotten=()):
    """Land the registry of a folder and normalise it."""
    extract.pull_registry(landing, settings.Registry(url=f"file://{folder}"), {}.get)
    return registry.normalise_registry(
        landing, settings.Normalise(), hash_key="k", forgotten=forgotten, replace=replace
    )


def table(landing, manifest, name):
    """Return the kept rows of a table, by their id."""
    path = landing.path("registry", manifest.events, f"{name}.parquet")
    return sorted(parquet.read_table(path).to_pylist(), key=lambda row: row[f"{name[:-1]}_id"])


def rejects(landing, manifest, *, is_kept=False):
    """Return the listed rows that are left out, or those that are kept."""
    rows = parquet.read_table(landing.path("registry", manifest.rejects)).to_pylist()
    return [list(row.values())[:-1] for row in rows if row["is_kept"] == is_kept]


def people(number):
    """Return so many recipients."""
    return "\n".join(f"r{n:02},c1,{n}@example.com,Ada,,,2026-03-01T09:00:00Z" for n in range(number))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_a_row_is_kept_or_rejected_with_its_line_and_reason(landing, tmp_path, case):
    """The registry's owner learns which rows to correct, and the other rows count."""
    write(tmp_path / "registry", case["given"])
    manifest = pull(landing, tmp_path / "registry")
    assert rejects(landing, manifest) == case.get("rejects", [])
    assert rejects(landing, manifest, is_kept=True) == case.get("listed", [])
    for name, wanted in case.get("kept", {}).items():
        rows = table(landing, manifest, name)
        assert [{key: row[key] for key in wish} for row, wish in zip(rows, wanted, strict=True)] == wanted


def test_counts_have_the_kept_and_the_rejected_rows(landing, tmp_path):
    """The nightly line adds up: an issuer, a certificate and two recipients are kept, one recipient is rejected."""
    write(tmp_path / "registry", {"recipients": people(2) + "\nr9,c9,x@example.com,X,,,2026-03-01T09:00:00Z"})
    counts = pull(landing, tmp_path / "registry").counts
    assert (counts.raw, counts.event, counts.reject) == (5, 4, 1)


def test_no_list_of_rejects_holds_an_address(landing, tmp_path):
    """The list may be mailed around."""
    write(tmp_path / "registry", {"recipients": people(1).replace("c1", "c9")})
    assert "example.com" not in str(rejects(landing, pull(landing, tmp_path / "registry")))


def test_an_address_has_the_hash_that_its_events_have(landing, tmp_path):
    """Upper or lower case and a name around an address do not change its hash. Another key does."""
    addresses = ("Ada@Example.com", "ada@example.com", "Ada <ada@example.com>")
    rows = "\n".join(f"r{n},c1,{text},,,,2026-03-01T09:00:00Z" for n, text in enumerate(addresses))
    write(tmp_path / "registry", {"recipients": rows})
    hashes = {row["address_hash"] for row in table(landing, pull(landing, tmp_path / "registry"), "recipients")}
    assert len(hashes) == 1
    again = registry.normalise_registry(landing, settings.Normalise(), hash_key="other", forgotten=())
    assert hashes.isdisjoint(row["address_hash"] for row in table(landing, again, "recipients"))


def test_a_forgotten_recipient_is_not_read_again(landing, tmp_path):
    """A person who asked to be erased stays erased, whatever the platform still holds, and is not a reject."""
    write(tmp_path / "registry", {"recipients": people(3)})
    manifest = pull(landing, tmp_path / "registry", forgotten=["r01"])
    assert [row["recipient_id"] for row in table(landing, manifest, "recipients")] == ["r00", "r02"]
    assert (rejects(landing, manifest), manifest.counts.reject) == ([], 0)


@pytest.mark.parametrize("name", registry.HEADERS)
def test_a_table_without_a_needed_column_names_it(landing, tmp_path, name):
    """The error names the table, the missing column and the columns that it needs. The pull is refused."""
    column = registry.HEADERS[name][0]
    write(tmp_path / "registry", {})
    path = tmp_path / "registry" / f"{name}.csv"
    path.write_text(path.read_text().replace(column, "id"))
    with pytest.raises(RegistryError, match=f"the registry's {name} has no column {column}; it needs {column}, "):
        pull(landing, tmp_path / "registry")
    assert landing.newest("registry").status == "extracted"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\xff\xfe", b'"', b"a;b;c\n1;2;3\n"])
def test_a_file_that_is_no_csv_is_refused(landing, tmp_path, content):
    """Whatever the bytes are, the error is a sentence."""
    write(tmp_path / "registry", {})
    (tmp_path / "registry" / "issuers.csv").write_bytes(content)
    with pytest.raises(RegistryError, match="the registry's issuers has no column issuer_id"):
        pull(landing, tmp_path / "registry")


def loaded(landing, tmp_path, number):
    """Return a registry of so many recipients, an issuer and a certificate that the warehouse holds."""
    write(tmp_path / "registry", {"recipients": people(number)})
    landing.mark_loaded(manifest := pull(landing, tmp_path / "registry"))
    return manifest


def test_nine_rows_of_ten_are_enough(landing, tmp_path):
    """A registry may shrink by a tenth, since people leave."""
    loaded(landing, tmp_path, 20)
    write(tmp_path / "registry", {"recipients": people(18)})
    assert pull(landing, tmp_path / "registry").counts.event == 20


def test_a_registry_that_lost_more_than_a_tenth_is_refused(landing, tmp_path):
    """A broken export does not empty all figures. The error has the numbers and says how to go on."""
    former = loaded(landing, tmp_path, 20)
    write(tmp_path / "registry", {"recipients": people(17)})
    with pytest.raises(
        RegistryError, match=r"recipients has 17 rows, under 90 % of the 20 before, which stay; .*--replace"
    ):
        pull(landing, tmp_path / "registry")
    assert landing.newest("registry").status == "normalised"
    landing.publish(landing.newest("registry").model_copy(update={"status": "refused"}))
    assert extract.reuse_registry(landing) == former


def test_a_registry_may_shrink_with_replace(landing, tmp_path):
    """--replace is for a registry that really is smaller."""
    loaded(landing, tmp_path, 18)
    write(tmp_path / "registry", {"recipients": people(1)})
    assert pull(landing, tmp_path / "registry", replace=True).status == "valid"


def test_a_registry_is_classified_the_same_from_an_object_store(tmp_path):
    """The place of the landing changes nothing."""
    here, there = Landing(f"file://{tmp_path}/landing"), Landing(f"memory://{tmp_path}/landing")
    write(tmp_path / "registry", {"recipients": people(3)})
    assert pull(here, tmp_path / "registry").counts == pull(there, tmp_path / "registry").counts
    path = there.path("registry", there.newest("registry").events, "recipients.parquet")
    assert there.filesystem.size(path) > 0


def test_a_registry_that_was_never_pulled_is_an_error(landing):
    """The error says that the registry must be pulled first."""
    with pytest.raises(RegistryError, match="pull it first"):
        registry.normalise_registry(landing, settings.Normalise(), hash_key="k", forgotten=())


def test_a_logo_may_be_large(landing, tmp_path):
    """A picture of half a megabyte is a valid logo."""
    write(tmp_path / "registry", {"issuers": f'i1,Northwind,"data:image/png;base64,{"A" * 500_000}",'})
    assert len(table(landing, pull(landing, tmp_path / "registry"), "issuers")[0]["logo"]) > 500_000


def test_times_are_kept_in_utc(landing, tmp_path):
    """A certificate made at midnight in Kathmandu was made the evening before."""
    write(tmp_path / "registry", {"certificates": "c1,i1,A,badge,2026-03-02T00:00:00+05:45"})
    rows = table(landing, pull(landing, tmp_path / "registry"), "certificates")
    assert rows[0]["created_at"].isoformat() == "2026-03-01T18:15:00"


# How a table may be written

ROWS = [
    ["recipient_id", "certificate_id", "email", "name", "message_id", "access_email_sent_at", "created_at"],
    ["r1", "c1", "a@example.com", "Zoë Müller", "", "", "2026-03-01T09:00:00Z"],
    ["r2", "c1", "b@example.com", "Łukasz, Dr", "m2", "", "2026-03-01T09:00:00Z"],
]


def written(separator=",", newline="\n", rows=ROWS):
    """Return rows as CSV with that separator; fields with a comma are quoted."""
    fields = [[f'"{field}"' if "," in field else field for field in row] for row in rows]
    return "".join(separator.join(row) + newline for row in fields)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(b"", "utf-8"), (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (b"", "utf-16-le")],
)  # fmt: skip
def test_a_table_may_be_written_as_spreadsheets_do(landing, tmp_path, mark, encoding, separator, newline):
    """The separator, the ends of lines and the encoding change no name, where the bytes leave no doubt."""
    write(tmp_path / "registry", {})
    path = tmp_path / "registry" / "recipients.csv"
    path.write_bytes(mark + written(separator, newline).encode(encoding))
    manifest = pull(landing, tmp_path / "registry")
    assert [row["name"] for row in table(landing, manifest, "recipients")] == ["Zoë Müller", "Łukasz, Dr"]
    assert manifest.warnings == ()


@pytest.mark.parametrize(("first", "separator"), [("sep=;", ";"), ('"sep=\t"', "\t"), ("SEP=|", "|"), ("sep=^", "^")])
def test_the_separator_may_be_declared(landing, tmp_path, first, separator):
    """The first line of Excel, ``sep=;``, is no header. Lines are counted as an editor counts them."""
    write(tmp_path / "registry", {})
    bad = [*ROWS, ["r3", "c9", "c@example.com", "", "", "", "2026-03-01"]]
    (tmp_path / "registry" / "recipients.csv").write_text(f"{first}\n{written(separator, rows=bad)}")
    manifest = pull(landing, tmp_path / "registry")
    assert [row["recipient_id"] for row in table(landing, manifest, "recipients")] == ["r1", "r2"]
    assert rejects(landing, manifest) == [["recipients", 5, "r3", "unknown certificate"]]


def test_windows_1252_is_read_and_told(landing, tmp_path):
    """What a Western spreadsheet saves keeps its letters; the file is listed, since no byte proves the encoding."""
    write(tmp_path / "registry", {})
    rows = [*ROWS[:2], ["r2", "c1", "b@example.com", "Jürgen O’Neil", "", "", "2026-03-01"]]
    (tmp_path / "registry" / "recipients.csv").write_bytes(written(";", "\r\n", rows).encode("cp1252"))
    manifest = pull(landing, tmp_path / "registry")
    assert [row["name"] for row in table(landing, manifest, "recipients")] == ["Zoë Müller", "Jürgen O’Neil"]
    assert rejects(landing, manifest, is_kept=True) == [
        ["recipients", 1, None, "the file is not UTF-8, and was read as Windows-1252; save it as CSV UTF-8"]
    ]


@pytest.mark.parametrize("broken", ["Łukasz", "Иван Петров", "李小龙"])
def test_names_that_cannot_be_decoded_are_told(landing, tmp_path, broken):
    """In an encoding that the bytes do not tell, a name is marked and its row listed. A row without its id is left out."""
    write(tmp_path / "registry", {})
    codec = {"Ł": "iso8859-2", "И": "cp1251", "李": "gb18030"}[broken[0]]
    rows = [
        ROWS[0],
        ["r1", "c1", "a@example.com", broken, "", "", "2026-03-01"],
        [broken, *ROWS[2][1:3], "", *ROWS[2][4:]],
    ]
    content = written(rows=[*rows, ["r3", *ROWS[2][1:3], "Ærø", *ROWS[2][4:]]]).replace("Ærø\n", "Ærø\n")
    head, tail = content.split("Ærø")
    (tmp_path / "registry" / "recipients.csv").write_bytes(head.encode(codec) + "Ærø".encode() + tail.encode())
    manifest = pull(landing, tmp_path / "registry")
    kept = table(landing, manifest, "recipients")
    assert [row["recipient_id"] for row in kept] == ["r1", "r3"]
    assert ("\ufffd" in kept[0]["name"], kept[1]["name"]) == (True, "Ærø")
    reason = "has bytes that cannot be decoded; they became U+FFFD"
    assert rejects(landing, manifest, is_kept=True) == [["recipients", 2, "r1", f"name {reason}"]]
    assert rejects(landing, manifest) == [["recipients", 3, None, f"recipient_id {reason}"]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04....", "it is a workbook or a ZIP file; save it as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0....", "it is a workbook; save it as CSV UTF-8"),
        (b"\x1f\x8b....", "it is compressed; unpack it"),
        (b"issuer_id,name,Name\ni1,A,B\n", "has two columns name; rename or remove one of them"),
        (b"issuer;title\ni1;A\n", r"has no column issuer_id; it needs .*; its first line has issuer, title"),
    ],
)
def test_a_table_that_cannot_be_read_says_what_is_wrong(landing, tmp_path, content, reason):
    """The error names what the file is, or what its header has."""
    write(tmp_path / "registry", {})
    (tmp_path / "registry" / "issuers.csv").write_bytes(content)
    with pytest.raises(RegistryError, match=f"the registry's issuers .*{reason}"):
        pull(landing, tmp_path / "registry")


@pytest.mark.parametrize("size", [1_100_000, 5_000_000])
def test_a_logo_over_the_limit_is_left_out_and_its_issuer_kept(landing, tmp_path, size):
    """One picture costs no certificate, recipient or subscription, and the list says why it is missing."""
    given = {
        "issuers": f'i1,Northwind,"data:image/png;base64,{"A" * size}",\ni2,Southridge,,',
        "recipients": people(2), "subscriptions": "s1,i1,a@example.com,daily,UTC,en,false",
    }  # fmt: skip
    write(tmp_path / "registry", given)
    manifest = pull(landing, tmp_path / "registry")
    assert (manifest.counts.event, manifest.counts.reject) == (6, 0)
    assert [row["logo"] for row in table(landing, manifest, "issuers")] == [None, None]
    assert rejects(landing, manifest, is_kept=True) == [
        ["issuers", 2, "i1", "logo is over 1,048,576 characters, and is left out"]
    ]


@pytest.mark.parametrize("text", ["<", '"', "\\", "a@", "a.", "=?utf-8?q?a?= ", "\u00e9@", "x <a@b>;"])
def test_a_hostile_address_takes_no_time(landing, tmp_path, text):
    """A megabyte in the place of an address is judged at once, and left out."""
    field = (text * (1_000_000 // len(text))).replace('"', '""')
    write(tmp_path / "registry", {"recipients": f'r1,c1,"{field}",,,,2026-03-01'})
    started = time.process_time()
    manifest = pull(landing, tmp_path / "registry")
    assert (manifest.tables["recipients"].reject, time.process_time() - started < 10) == (1, True)


# The guard of each table


@pytest.mark.parametrize("rows", ["", "s0,i1,a@example.com,daily,UTC,en,maybe"])
def test_a_table_that_lost_its_rows_is_refused_whatever_the_others_have(landing, tmp_path, rows):
    """Three subscriptions of 205 rows are all subscriptions: without them no report would be sent."""
    subscriptions = "\n".join(f"s{n},i1,a@example.com,daily,UTC,en,f" for n in range(3))
    write(tmp_path / "registry", {"recipients": people(200), "subscriptions": subscriptions})
    landing.mark_loaded(pull(landing, tmp_path / "registry"))
    write(tmp_path / "registry", {"recipients": people(200), "subscriptions": rows})
    with pytest.raises(RegistryError, match="subscriptions has 0 rows, under 90 % of the 3 before, which stay"):
        pull(landing, tmp_path / "registry")
    assert landing.loaded("registry").tables["subscriptions"].event == 3


def test_a_table_may_lose_one_of_nine_only_with_replace(landing, tmp_path):
    """The rule is the same for a small table: eight of nine rows are under 90 %."""
    loaded(landing, tmp_path, 9)
    write(tmp_path / "registry", {"recipients": people(8)})
    with pytest.raises(RegistryError, match="recipients has 8 rows, under 90 % of the 9 before"):
        pull(landing, tmp_path / "registry")


def test_forgotten_recipients_are_no_loss(landing, tmp_path):
    """An erasure never stops the next night."""
    loaded(landing, tmp_path, 4)
    assert pull(landing, tmp_path / "registry", forgotten=["r00", "r01"]).status == "valid"


def test_a_registry_of_release_0_1_is_compared_by_table_too(landing, tmp_path):
    """Its manifest has no counts of tables; its tables do."""
    former = loaded(landing, tmp_path, 20)
    landing.mark_loaded(former.model_copy(update={"tables": {}}))
    write(tmp_path / "registry", {})
    with pytest.raises(RegistryError, match="recipients has 0 rows, under 90 % of the 20 before"):
        pull(landing, tmp_path / "registry")


# What is told


def test_what_is_listed_is_told_once(landing, tmp_path):
    """A warning comes when something becomes unusual, and not every night. It holds no id and no address."""
    subscriptions = "s1,i1,büro@example.com,daily,UTC,en,f"
    write(tmp_path / "registry", {"subscriptions": subscriptions, "recipients": people(1).replace("c1", "c9")})
    landing.mark_loaded(first := pull(landing, tmp_path / "registry"))
    assert first.warnings == (
        "recipients: 1 rows left out: unknown certificate (first on line 2)",
        "subscriptions: 1 rows kept all the same: only a mail server with SMTPUTF8 takes the address (first on line 2)",
    )
    assert pull(landing, tmp_path / "registry").warnings == ()
    write(tmp_path / "registry", {"subscriptions": f"{subscriptions}\n{subscriptions.replace('s1', 's2')}"})
    assert pull(landing, tmp_path / "registry", replace=True).warnings == (
        "subscriptions: 1 rows kept all the same: only a mail server with SMTPUTF8 takes the address (first on line 3)",
    )


PIECES = [
    "",
    " ",
    "-",
    "a",
    'b"',
    '"c',
    '"',
    '""',
    ",",
    "\n",
    "\r\n",
    "\r",
    "\x00",
    "\x1c",
    "é",
    "\ufeff",
    "\\",
    "#",
    "'",
    ";",
    "x y",
]
TABLES = some.lists(
    some.one_of(
        some.lists(
            some.sampled_from(["", " ", "a", 'b"c', "d,e", "f\ng", "é", '"'] * 2 + PIECES), min_size=2, max_size=3
        ).map(lambda fields: (csv.writer(line := io.StringIO()).writerow(fields), line.getvalue())[1]),
        some.lists(some.sampled_from(PIECES), max_size=5).map("".join),
        some.sampled_from(["i1,Northwind\n", "i1,Northwind\r\n"]),
    ),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """Return a connection in which a registry is normalised."""
    with session.connected(settings.Normalise(), tmp_path_factory.mktemp("scratch")) as opened:
        yield opened


def by_our_reader(connection, table, path):
    """Create the table of a file's rows by the reader for files of any form."""
    with spreadsheets.opened(path, registry.HEADERS[table]) as content:
        registry._parse(connection, table, content)


@given(
    header=some.sampled_from(["issuer_id,name", "name,issuer_id", "issuer_id,name,colour", "Issuer ID, name"]),
    rows=TABLES,
)
@example(header="issuer_id,name,unreadable_columns", rows="i1,Northwind,\n")
@example(header="issuer_id,name,unreadable_columns", rows="i1,Northwind,1\n")
@example(header="issuer_id,name", rows=f"i1,{'é' * (1 << 20)}\n")
@example(header="issuer_id,name", rows=f"i1,{'a' * (1 << 20)}\n")
@example(header="issuer_id,name", rows=f"i1,{'a' * ((1 << 20) + 1)}\ni2,b\n")
@hypothesis.settings(deadline=None, max_examples=100)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_plain_file_is_read_as_any_other(end, header, rows, connection, tmp_path_factory):
    """DuckDB's own reader is quicker; where it would read a file otherwise than ours, ours reads it."""
    path = tmp_path_factory.mktemp("plain") / "issuers.csv"
    path.write_bytes(f"{header}{end}{rows}".encode())
    found = []
    for way in (registry._read, by_our_reader):
        connection.execute("DROP TABLE IF EXISTS raw_issuers")
        way(connection, "issuers", path)
        found.append(sorted(connection.table("raw_issuers").fetchall(), key=repr))
    assert found[0] == found[1]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_databases_write_is_plain(end, connection, tmp_path):
    """The quicker way is taken for the usual file, also with quotes: a large registry waits for it every night."""
    path = tmp_path / "issuers.csv"
    path.write_bytes(end.join(["issuer_id,name", 'i1,"North ""Wind"" Ltd, Oslo"', "i2,Süd", ""]).encode())
    connection.execute("DROP TABLE IF EXISTS raw_issuers")
    with spreadsheets.opened(path, registry.HEADERS["issuers"]) as content:
        assert registry._copy(connection, "issuers", path, content)
    rows = connection.table("raw_issuers").project("line, issuer_id, name").fetchall()
    assert rows == [(2, "i1", 'North "Wind" Ltd, Oslo'), (3, "i2", "Süd")]
