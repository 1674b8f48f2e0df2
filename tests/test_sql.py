"""Named SQL: what a query reads and binds comes from its code, and mistakes are refused."""

import re
from pathlib import Path

import duckdb
import pytest

from etl import sql
from etl.errors import QueryError
from etl.normalise import session
from etl.settings import Normalise

FILES = sorted(path.relative_to(sql.ROOT) for path in sql.ROOT.rglob("*.sql"))
SELECTS = [path for path in FILES if path.parts[0] != "schema" and "macros" not in path.parts]


def plant(root: Path, **files: str) -> Path:
    """Write SQL files, each named <folder>__<stem>, and return their root."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def header(path: Path, key: str, root: Path = sql.ROOT) -> str:
    """Return what a file's header says under a key, lines joined."""
    found = re.search(rf"(?m)^-- {key} +(.*(?:\n--   +\S.*)*)", (root / path).read_text())
    return re.sub(r"\n-- +", " ", found[1]) if found else ""


def misread(path: Path, root: Path = sql.ROOT) -> set[str]:
    """Return the names that a file reads and its header lacks, and those that only the header has."""
    query = sql.read(str(path.parent), path.name.removesuffix(".sql"), root)
    said = set(re.findall(r"[a-z_]+", re.sub(r"\(.*?\)|\bthe table\b", "", header(path, "Reads", root))))
    return said ^ query.reads


@pytest.mark.parametrize("path", SELECTS, ids=str)
def test_the_header_names_what_the_code_reads(path):
    """A reader can trust the header."""
    assert misread(path) == set()


@pytest.mark.parametrize("path", SELECTS, ids=str)
def test_the_header_names_what_the_code_binds(path):
    """Each parameter is in the header, or in that of a query that the header refers to."""
    if (
        path.parts[0] in sql.COMPOSED
        and header(path, "Params") != "one per column; last_error, loaded_at and version may be NULL"
    ):
        own = sql.read(str(path.parent), path.name.removesuffix(".sql")).params
        assert {name for name in own if name not in header(path, "Params")} == set()


def test_a_wrong_header_changes_nothing_and_is_found(tmp_path):
    """A mistyped Reads line once made a query read the stored table instead of the query that it names."""
    root = plant(
        tmp_path, schema__figures="CREATE TABLE figures (n INT)", statistics__catalogue="SELECT 1 AS n\n",
        report__totals="-- totals: sums.\n--\n-- Reads:  figures\nSELECT SUM(n) AS n\nFROM catalogue\n",
    )  # fmt: skip
    assert duckdb.sql(sql.compose("totals", "duckdb", root).text).fetchall() == [(1,)]
    assert misread(Path("report/totals.sql"), root) == {"catalogue"}


def test_a_query_named_like_a_table_is_refused(tmp_path):
    """Otherwise stored figures could not be distinguished from computed ones."""
    root = plant(
        tmp_path, schema__catalogue="CREATE TABLE catalogue (n INT)", statistics__catalogue="SELECT 1 AS n\n",
    )  # fmt: skip
    with pytest.raises(QueryError, match=r"statistics/catalogue\.sql has the name of a table; rename it"):
        sql.compose("catalogue", "duckdb", root)


def test_no_query_is_named_like_a_table():
    """Every file of the composed folders can be composed."""
    for path in SELECTS:
        if path.parts[0] in sql.COMPOSED:
            assert sql.compose(path.stem, "duckdb").text


def test_a_circle_is_refused(tmp_path):
    """The error shows the circle."""
    root = plant(tmp_path, statistics__a="SELECT n FROM b\n", report__b="SELECT n FROM a\n")
    with pytest.raises(QueryError, match="in a circle: a → b → a"):
        sql.compose("a", "duckdb", root)


def test_a_missing_file_is_refused(tmp_path):
    """A misspelt stem is an error before any database is queried."""
    with pytest.raises(QueryError, match="there is no query nothing in statistics, report, load"):
        sql.compose("nothing", "duckdb", tmp_path)
    with pytest.raises(QueryError, match=r"there is no SQL file .*nothing\.sql"):
        sql.read("normalise", "nothing", tmp_path)


def test_a_misspelt_parameter_is_refused(opened):
    """A bound that is not applied would show an issuer another issuer's figures."""
    with pytest.raises(QueryError, match="the query issuer needs the parameter issuer_id, which is not given"):
        opened.rows("issuer", isuer_id="i1")
    with pytest.raises(QueryError, match="the query issuer has no parameter period_end"):
        opened.rows("issuer", issuer_id="i1", period_end=None)


def test_a_misspelt_variable_is_refused(tmp_path):
    """DuckDB takes a variable that is not set for NULL, so the mistake would go unnoticed."""
    with session.connected(Normalise(), tmp_path) as connection:
        with pytest.raises(QueryError, match=r"no file of sql/normalise reads the variable pixle_path"):
            session.bind(connection, pixle_path="/px.gif")
        with pytest.raises(QueryError, match="the query lines needs the parameter files, which is not given"):
            session.relation(connection, "lines")


def test_an_engines_own_file_is_taken_first(tmp_path):
    """A dialect that differs has a sibling file, and a query that reads it stays the same."""
    root = plant(
        tmp_path, statistics__ones="SELECT 1 AS one\n", report__twos="WITH\na AS (\n    SELECT one FROM ones\n)\n\nSELECT one FROM a\n"
    )  # fmt: skip
    (root / "statistics" / "ones.other.sql").write_text("SELECT 2 AS one\n")
    found = [duckdb.sql(sql.compose("twos", engine, root).text).fetchall() for engine in ("own", "other")]
    assert found == [[(1,)], [(2,)]]


PARSED = {
    "a comment names nothing": ("SELECT 1 -- FROM hidden, :bound\n", set(), set()),
    "a text names nothing": ("SELECT 'FROM hidden :bound' FROM seen\n", {"seen"}, set()),
    "a comment within a text is text": ("SELECT '--' FROM seen WHERE a = :b\n", {"seen"}, {"b"}),
    "a cast is no parameter": ("SELECT a::date FROM seen\n", {"seen"}, set()),
    "an expression is not read from outside": ("WITH own AS (SELECT a FROM seen) SELECT a FROM own\n", {"seen"}, set()),
    "a function is no table": ("SELECT a FROM READ_CSV(GETVARIABLE('files'))\n", set(), {"files"}),
}


@pytest.mark.parametrize("case", PARSED)
def test_names_come_from_the_code(tmp_path, case):
    """A comment or a string neither reads nor binds."""
    text, reads, params = PARSED[case]
    query = sql.read("statistics", "query", plant(tmp_path, statistics__query=text))
    assert (query.reads, query.params) == (reads, params)
