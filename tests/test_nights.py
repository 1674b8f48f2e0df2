"""Nights that are repeated, run out of order, killed or given damaged files make the same warehouse in the end."""

import gzip
import json
import pkgutil
import re
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial

import duckdb
import psycopg
import pytest

from tests import platform_by_hand as platform
from tests.command import die, run

ONE, TWO = platform.DAYS
BOTH = ("nightly", "--day", str(ONE), "--to", str(TWO))
KILLED = -9
STORED = ("certificate_statistics", "certificate_shares")


def nightly(configuration, *arguments, before=None):
    """Run a night in a separate process."""
    return run(configuration, *arguments, before=before, HASH_KEY=platform.KEY)


def errors(ran):
    """Return the error lines of a night, and check that there is no traceback."""
    assert "Traceback" not in ran.err
    return [line for line in ran.err.splitlines() if line.startswith("error: ")]


def held(configuration):
    """Return all rows of the warehouse, table by table, without the times of loading and the folders of landed versions."""
    with duckdb.connect(str(configuration.parent / "warehouse.duckdb"), read_only=True) as connection:
        tables = [name for (name,) in connection.execute("SHOW TABLES").fetchall()]
        found = {name: connection.table(name) for name in sorted(tables)}
        columns = {
            name: [column for column in table.columns if column not in ("loaded_at", "version")]
            for name, table in found.items()
        }
        return {
            name: sorted(map(repr, table.project(", ".join(columns[name])).fetchall())) for name, table in found.items()
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a platform whose two days were loaded in one night, and the content of its warehouse."""
    configuration = platform.write(tmp_path_factory.mktemp("undisturbed"))
    assert nightly(configuration, *BOTH).code == 0
    return configuration, held(configuration)


@pytest.fixture
def wanted(undisturbed):
    """Return the content that a warehouse must have in the end."""
    return undisturbed[1]


@pytest.fixture
def fresh(tmp_path):
    """Return the platform before its first night."""
    return platform.write(tmp_path / "platform")


@pytest.fixture
def loaded(undisturbed, tmp_path):
    """Return a copy of the platform with both days loaded."""
    return copied(undisturbed[0], tmp_path / "platform")


def copied(configuration, folder):
    """Return a copy of a platform, with its landing, warehouse and state."""
    shutil.copytree(configuration.parent, folder)
    copy = folder / "analytics.toml"
    copy.write_text(copy.read_text().replace(str(configuration.parent), str(folder)))
    return copy


def test_the_warehouse_is_not_empty(wanted):
    """The content that the other tests compare has rows in every table but two."""
    assert {name: len(rows) for name, rows in wanted.items() if name in ("events", "slices", "recipients")} == {
        "events": 42, "slices": 4, "recipients": 20
    }  # fmt: skip
    assert [name for name, rows in wanted.items() if not rows] == ["stale_certificates", "touched_identities"]


def test_a_night_can_be_run_twice(loaded, wanted):
    """An operator who is not sure whether a night ran can run it again."""
    assert nightly(loaded, *BOTH).code == 0
    assert held(loaded) == wanted


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_runs_that_bring_the_same_slices_at_the_same_moment_all_end_well(fresh, wanted, postgres_server, engine):
    """A slice is brought by one run at a time. The others wait, and the warehouse is that of a single run."""
    if engine == "postgres":
        platform.move_to_postgres(fresh, postgres_server, "many_runs")
    with ThreadPoolExecutor() as threads:
        runs = list(threads.map(lambda _: nightly(fresh, *BOTH), range(3)))
    assert [(ran.code, errors(ran)) for ran in runs] == [(0, [])] * 3
    counted = {name: len(rows) for name, rows in wanted.items()}
    if engine == "postgres":
        assert rows_on_postgres(postgres_server, counted) == counted
    else:
        assert held(fresh) == wanted


def rows_on_postgres(port, tables):
    """Return the number of rows of each table."""
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/many_runs") as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def test_days_come_in_any_order(fresh, wanted):
    """A backfill of last week after this week makes no difference, and neither does a source that is run alone."""
    for arguments in (("--day", str(TWO), "--source", "view"), ("--day", str(TWO)), ("--day", str(ONE))):
        assert nightly(fresh, "nightly", *arguments).code == 0
    assert held(fresh) == wanted


def test_a_registry_that_comes_late_makes_no_difference(loaded, wanted):
    """Events without a recipient are attributed once the registry has the recipient."""
    platform.write_table(loaded.parent, "recipients", platform.REGISTRY["recipients"].split("\n")[0] + "\n")
    assert nightly(loaded, "nightly", "--day", "2026-03-04", "--replace").code == 0
    assert held(loaded)["recipients"] == []
    platform.write_table(loaded.parent, "recipients", platform.REGISTRY["recipients"])
    assert nightly(loaded, "nightly", "--day", "2026-03-04").code == 0
    assert held(loaded) == wanted


# Kills: the process ends, as in a power cut, when a function is called for the nth time.

MAIL = ("nightly", "--day", str(ONE), "--source", "mail")
STAGES = {
    "extract, before the file is stored": ("etl.landing.Landing.store", 5),
    "extract, before it publishes": ("etl.landing.Landing.publish", 3),
    "normalise, with the events written": ("etl.normalise.define", 1, "rejects"),
    "validate, before it publishes": ("etl.landing.Landing.publish", 5),
    "load, within the transaction": ("etl.warehouse.tables.TableWarehouse._record", 1),
    "load, before the landing is marked": ("etl.landing.Landing.mark_loaded", 2),
    "statistics, before it begins": ("etl.statistics.refresh", 1),
    "statistics, within the transaction": ("etl.sql.compose", 1, "channel_shares"),
}


def kill_when_called(path, times, argument=None):
    """Make that function end its own process when it is called for the nth time (with that argument)."""
    place, _, name = path.rpartition(".")
    place = pkgutil.resolve_name(place)
    function, calls = getattr(place, name), iter(range(1, 10_000))

    def called(*arguments, **options):
        if (argument is None or argument in arguments) and next(calls) == times:
            die()
        return function(*arguments, **options)

    setattr(place, name, called)


@pytest.fixture(scope="module")
def without_mail(tmp_path_factory):
    """Return a platform that lacks the mail of day one."""
    configuration = platform.write(tmp_path_factory.mktemp("without_mail"))
    assert nightly(configuration, "nightly", "--day", str(TWO)).code == 0
    assert nightly(configuration, "nightly", "--day", str(ONE), "--source", "view").code == 0
    return configuration


@pytest.mark.parametrize("stage", STAGES)
def test_a_night_that_was_killed_is_repaired_by_the_next(without_mail, tmp_path, wanted, stage):
    """Wherever it was killed, a re-run makes the same warehouse as an undisturbed night."""
    configuration = copied(without_mail, tmp_path / "platform")
    assert nightly(configuration, *MAIL, before=partial(kill_when_called, *STAGES[stage])).code == KILLED
    assert nightly(configuration, *MAIL).code == 0
    assert held(configuration) == wanted


@pytest.mark.parametrize("stage", ["extract, before the file is stored", "load, within the transaction"])
def test_a_re_run_that_was_killed_leaves_what_was_loaded(loaded, wanted, stage):
    """In the meantime issuers see the same figures as before."""
    assert nightly(loaded, *MAIL, before=partial(kill_when_called, *STAGES[stage])).code == KILLED
    assert held(loaded) == wanted


# Damage

RECORDS = [json.dumps(record) for record in platform.MAIL[ONE]]


def whole(records=tuple(RECORDS)):
    """Return the mail events of a day."""
    return "\n".join(records).encode()


DAMAGE = {
    "a truncated file": (gzip.compress(whole())[:200], "events.json.gz cannot be read ("),
    "a file that is not compressed": (whole(), "events.json.gz cannot be read ("),
    "an empty file": (b"", "events.json.gz cannot be read ("),
    "no record": (gzip.compress(b""), "0 raw records, under half of the 25 loaded; if that is right, re-run with"),
    "a tenth of the records": (gzip.compress(whole(RECORDS[:2])), "2 raw records, under half of the 25 loaded"),
    "no file": (None, "no file matches "),
    "unknown events": (
        gzip.compress(whole(re.sub('"event": "[a-z]+"', '"event": "teleported"', text) for text in RECORDS)),
        "validation failed: event_type unknown: ",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_reported_and_leaves_what_was_loaded(loaded, wanted, damage):
    """One line names the slice and the reason, and `slices` keeps it. A re-run with the whole file repairs it."""
    content, reason = DAMAGE[damage]
    path = platform.write_mail(loaded.parent, ONE, whole())
    original = path.read_bytes()
    path.write_bytes(content) if content is not None else path.unlink()
    ran = nightly(loaded, *MAIL)
    assert ran.code == 1
    assert [line.startswith(f"error: mail {ONE}: ") and reason in line for line in errors(ran)] == [True]
    kept = held(loaded)
    assert reason in str(kept["slices"])
    assert {name: rows for name, rows in kept.items() if name != "slices"} == {
        name: rows for name, rows in wanted.items() if name != "slices"
    }
    path.write_bytes(original)
    assert nightly(loaded, *MAIL).code == 0
    assert held(loaded) == wanted


@pytest.mark.parametrize("name", ["newest", "loaded"])
@pytest.mark.parametrize("place", ["registry", f"slices/mail/{ONE}"])
def test_a_damaged_manifest_is_repaired_by_the_next_night(loaded, wanted, name, place):
    """From the landing alone it is an error that names the file, and the other slices are loaded. A pull writes it anew."""
    manifest = loaded.parent / "landing" / place / f"{name}.json"
    manifest.write_bytes(manifest.read_bytes()[:50])
    ran = nightly(loaded, *BOTH, "--from-landing")
    assert ran.code == 1
    assert [f"{place}/{name}.json is damaged (" in line for line in errors(ran)] == [True]
    assert ran.err.count(" events, ") == (4 if place == "registry" else 3)
    if place == "registry" and name == "loaded":
        manifest.unlink()
    assert nightly(loaded, *BOTH).code == 0
    assert held(loaded) == wanted


def limited(size):
    """Let no file of the process grow beyond a size in bytes, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


LARGE = [json.dumps({**platform.MAIL[ONE][0], "sg_event_id": f"{number}", "x": "y" * 6_000_000}) for number in range(8)]
GIVES_OUT = {
    "the disk": ({"before": partial(limited, 16 << 20)}, "the disk is full; make room"),
    "the memory": (
        {"ANALYTICS_NORMALISE__MEMORY_LIMIT": "90MB", "ANALYTICS_NORMALISE__THREADS": "1"},
        "the memory gave",
    ),
}


@pytest.mark.parametrize("cause", GIVES_OUT)
def test_what_gives_out_under_one_slice_stops_no_other(fresh, cause):
    """A small file that holds 48 MB costs its own slice. The log beside it is loaded, and the reason is kept."""
    variables, words = GIVES_OUT[cause]
    platform.write_mail(fresh.parent, ONE, whole(LARGE))
    ran = run(fresh, "nightly", "--day", str(ONE), HASH_KEY=platform.KEY, **variables)
    assert ran.code == 1
    assert [line.startswith(f"error: mail {ONE}: {words}") for line in errors(ran)] == [True]
    assert f"view {ONE}: 8 events" in ran.err
    assert words in str(held(fresh)["slices"])
    platform.write_mail(fresh.parent, ONE, whole())
    assert nightly(fresh, "nightly", "--day", str(ONE)).code == 0


EXTRA = {**platform.MAIL[ONE][0], "sg_event_id": "extra"}
LINES = {
    "half a line": (b'{"event": "delivered", "email": "per', "1 rejects"),
    "a time in 1970": (json.dumps({**EXTRA, "timestamp": 1}).encode(), "1 rejects"),
    "a time in 2099": (json.dumps({**EXTRA, "timestamp": 4_070_908_800}).encode(), "1 rejects"),
    "bytes that are no text": (
        json.dumps(EXTRA).encode().replace(b"extra", b"\xff\xfe"),
        "0 rejects",
    ),
    "an unknown event": (json.dumps({**EXTRA, "event": "teleported"}).encode(), "0 rejects"),
}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Return a night over five days whose logs each have one damaged line, and its lines by day."""
    configuration = platform.write(tmp_path_factory.mktemp("damaged"))
    for number, (line, _) in enumerate(LINES.values()):
        platform.write_mail(configuration.parent, date(2026, 3, 2 + number), whole(RECORDS[:15]) + b"\n" + line)
    ran = nightly(configuration, "nightly", "--day", "2026-03-02", "--to", "2026-03-06", "--source", "mail")
    return ran, {line[5:15]: line for line in ran.err.splitlines() if line.startswith("mail ")}


@pytest.mark.parametrize("damage", LINES)
def test_one_damaged_line_affects_only_itself(damaged, damage):
    """The damaged line is a counted reject or an event, and the other fifteen records are loaded."""
    ran, lines = damaged
    number = list(LINES).index(damage)
    rejects = LINES[damage][1]
    events = 15 if rejects == "1 rejects" else 16
    assert ran.code == 0
    assert lines[f"2026-03-{2 + number:02}"].endswith(f": {events} events, 0 duplicates, {rejects}, 0 ignored")


# From the landing


def test_an_emptied_warehouse_is_rebuilt_from_the_landing(loaded, wanted):
    """The landing is enough, even if the logs and the registry's host are gone."""
    for name in ("mail", "registry"):
        shutil.rmtree(loaded.parent / name)
    (loaded.parent / "warehouse.duckdb").unlink()
    assert nightly(loaded, *BOTH, "--from-landing").code == 0
    assert held(loaded) == wanted


def test_a_rebuild_skips_refused_versions(loaded, wanted):
    """Where the newest version was refused, the rebuild takes the version that was loaded."""
    platform.write_mail(loaded.parent, ONE, b"").write_bytes(DAMAGE["a truncated file"][0])
    platform.write_mail(loaded.parent, TWO, b"").write_bytes(DAMAGE["unknown events"][0])
    (loaded.parent / f"access.log-{ONE}").write_text("\n".join(platform.PIXEL[ONE][:4]))  # under half
    platform.write_table(loaded.parent, "recipients", platform.REGISTRY["recipients"][:300])
    assert len(errors(nightly(loaded, *BOTH))) == 4
    (loaded.parent / "warehouse.duckdb").unlink()
    assert nightly(loaded, *BOTH, "--from-landing").code == 0
    assert held(loaded) == wanted


def test_what_was_never_landed_cannot_be_rebuilt(fresh):
    """One line for the registry and one for each slice say so."""
    ran = nightly(fresh, *BOTH, "--from-landing")
    assert ran.code == 1
    assert len(errors(ran)) == 5
    assert all("landed" in line for line in errors(ran))


def test_a_source_in_two_shares_makes_the_same_figures(fresh, wanted):
    """A source that is too large for one task is configured as several, each with its share of the files."""
    for day in platform.DAYS:
        records = [json.dumps(record).encode() for record in platform.MAIL[day]]
        for share in (0, 1):
            platform.write_mail(fresh.parent / f"share{share}", day, b"\n".join(records[share::2]))
    one = fresh.read_text()
    section = re.search(r"(?s)\[sources\.mail\].*?(?=\[)", one)[0]
    shares = [section.replace("mail]", f"mail{share}]").replace("/mail/", f"/share{share}/mail/") for share in (0, 1)]
    fresh.write_text(one.replace(section, "".join(shares)))
    assert nightly(fresh, *BOTH).code == 0
    found = held(fresh)
    assert {name: found[name] for name in STORED} == {name: wanted[name] for name in STORED}
