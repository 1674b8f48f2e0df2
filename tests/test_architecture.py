"""The rules of imports, the door of each library, SQL only in SQL files, and imports without effects."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = sorted(Path("etl").rglob("*.py"))
SQL = sorted(Path("sql").rglob("*.sql"))

OWNERS = {"printing": "entry points", "status_page": "entry points", "__main__": "entry points"}
STAGES = {"extract", "normalise", "validate", "load", "statistics", "render", "deliver"}
STORES = {"landing", "warehouse", "state"}
SHARED = {"settings", "errors", "periods", "resources", "scratch", "sql", "figures", "mailbox"}
MAY_IMPORT: dict[str, set[str]] = {
    "entry points": {"pipeline"} | SHARED,
    "pipeline": STAGES | STORES | SHARED,
    **dict.fromkeys(STAGES, STORES | SHARED),
    **dict.fromkeys(STORES, SHARED),
    "settings": {"errors", "mailbox"},
    "errors": set(),
    "mailbox": set(),
    "periods": {"errors"},
    "resources": set(),
    "scratch": set(),
    "sql": {"errors", "resources"},
    "figures": {"periods"},
}

DOORS = {
    "typer": {"entry points"}, "rich": {"entry points"},
    "fsspec": {"landing", "extract"},
    "duckdb": {"warehouse", "normalise", "validate"},
    "psycopg": {"warehouse", "state"},
    "sqlalchemy": {"warehouse", "state", "extract", "validate"},
    "pyarrow": {"warehouse", "normalise"},
    "pyspark": {"warehouse"}, "grpc": {"warehouse"},
    "great_expectations": {"validate"},
    "crawlerdetect": {"normalise"}, "backports": {"normalise"},
    "jinja2": {"render", "entry points"}, "weasyprint": {"render"}, "pydyf": {"render"}, "fontTools": {"render"}, "vl_convert": {"render"}, "css_inline": {"render"}, "xlsxwriter": {"render"}, "babel": {"render"},
    "markupsafe": {"render"}, "email": {"render", "deliver", "extract", "mailbox"}, "idna": {"mailbox"},
    "smtplib": {"deliver"}, "ssl": {"deliver"},
    "urllib.request": {"extract"}, "http": {"extract"}, "httpx": {"extract"}, "requests": {"extract"},
    "urllib3": {"extract"},
    "pydantic": {"settings", "landing", "extract"}, "pydantic_settings": {"settings"},
    "tempfile": {"scratch", "normalise", "render"},
    "tenacity": {"warehouse", "deliver", "extract"},
}  # fmt: skip
"""The only parts that may import each library."""


def part(module):
    """Return the part that a file of etl belongs to."""
    name = module.with_suffix("").parts[1]
    return OWNERS.get(name, name)


def imported(module):
    """Yield every module that a file imports, anywhere in it, with the names that it takes from etl."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def texts(module):
    """Yield every string of a file except its docstrings. Of an f-string, yield the text around its values."""
    tree = ast.parse(module.read_text())
    standalone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "?".join(str(value.value) for value in node.values if isinstance(value, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in standalone:
            yield node.value


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_part_imports_only_the_parts_below_it(module):
    """Stages never import one another, stores import no stage, and shared modules import neither."""
    parts = {name.split(".")[1] for name in imported(module) if name.startswith("etl.")}
    wanted = {OWNERS.get(name, name) for name in parts} - {part(module)}
    assert part(module) == "__init__" or wanted <= MAY_IMPORT[part(module)]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_library_enters_by_its_door(module):
    """All code that uses a mail server, a database or Great Expectations is in one place."""
    for name in imported(module):
        found = [library for library in DOORS if f"{name}.".startswith(f"{library}.")]
        assert all(part(module) in DOORS[library] for library in found), name
        known = name.split(".")[0] in sys.stdlib_module_names | {"etl"} or found
        assert known, f"{name} has no door yet"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_environment_is_read_in_settings_and_the_entry_points(module):
    """No stage knows where secrets are kept."""
    reads = re.findall(r"\bos\.(?:environ|getenv)|^from os import", module.read_text(), re.MULTILINE)
    assert not reads or part(module) in {"settings", "entry points"}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_python_holds_no_sql(module):
    """Arithmetic is SQL in SQL files. Only the warehouse and its engines wrap named SELECTs, locks and copies."""
    statement = re.compile(
        r"\b(SELECT\b.+\bFROM|INSERT INTO|DELETE FROM|UPDATE\b.+\bSET|CREATE (?!.*\bTEMPORARY)\w+)\b", re.DOTALL
    )
    found = [text for text in texts(module) if statement.search(text)]
    assert not found or part(module) == "warehouse", found


@pytest.mark.parametrize("file", SQL, ids=str)
def test_every_sql_file_opens_with_its_header(file):
    """The header says what a row means before the first word of SQL."""
    text, stem = file.read_text(), file.name.split(".")[0]
    header = re.match(r"(--.*\n)+", text)
    assert text.startswith(f"-- {stem}: ")
    assert file.parent.name == "macros" or re.search(r"^-- Grain   ", header.group(), re.MULTILINE)


LOOK = """
import importlib, os, sys
found, original_get = [], os.environ.get
connects = ("socket.connect", "socket.bind", "os.mkdir", "sqlite3.connect")
sys.addaudithook(lambda event, arguments: event in connects and found.append((event, arguments)))
os.environ.get = lambda name, default=None: found.append(name) if name.startswith("ANALYTICS") else original_get(name, default)
for name in sys.argv[1:]: importlib.import_module(name)
print(found)
"""


def test_importing_a_module_does_nothing(tmp_path):
    """An import makes no connection, folder or file and does not read the configuration, so it works anywhere."""
    names = [".".join(module.with_suffix("").parts).removesuffix(".__init__") for module in MODULES]
    run = subprocess.run(
        [sys.executable, "-B", "-c", LOOK, *names], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert run.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_and_duckdb_import_no_driver_they_do_not_need():
    """Help, and a night that finds its registry unchanged in DuckDB, wait for no other engine's driver."""
    look = "import sys, etl.__main__, etl.warehouse.duckdb; print({'psycopg', 'pyarrow', 'pandas', 'numpy', 'jinja2'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
