"""A night whose registry, logs and landing are on s3://, run by the command line against a server that checks keys."""

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from etl import extract, pipeline
from etl.errors import ConfigurationError, LandingError
from etl.landing import Landing, Manifest, slice_prefix
from etl.settings import Source
from tests import object_storage
from tests import platform_by_hand as platform
from tests.command import die, run

ROOT = Path(__file__).parent.parent
ONE_DATE, TWO_DATE = platform.DAYS
ONE, TWO = str(ONE_DATE), str(TWO_DATE)
MAIL_TWO = "mail/2026/03/03/"
LATER = timedelta(days=1)


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """Yield the S3 server with one bucket."""
    with object_storage.serving(tmp_path_factory.mktemp("storage")) as one:
        yield one


class Platform:
    """The hand-written platform, all but its databases below a prefix of the bucket."""

    def __init__(self, storage, folder):
        self.storage, self.prefix = storage, f"{folder.name}/"
        self.configuration = platform.write(folder)
        for file in (*folder.glob("registry/*"), *folder.glob("mail/**/*.gz"), *folder.glob("access.log-*")):
            storage.put(f"{self.prefix}{file.relative_to(folder)}", file.read_bytes())
            file.unlink()
        text = self.configuration.read_text()
        for local in (f"file://{folder}/landing", f"file://{folder}/registry", f"{folder}/mail", f"{folder}/access"):
            below = local.removeprefix("file://").removeprefix(f"{folder}/")
            text = text.replace(local, f"s3://{object_storage.BUCKET}/{self.prefix}{below}")
        self.configuration.write_text(text)

    def run(self, *arguments, before=None, **variables):
        """Run a command with the variables that AWS's tools read, and check that it prints no secret."""
        environment = {**self.storage.variables, "HASH_KEY": platform.KEY, **variables}
        ran = run(self.configuration, *arguments, before=before, **environment)
        assert "Traceback" not in ran.err
        assert (environment["AWS_SECRET_ACCESS_KEY"] or "no secret") not in ran.err + ran.out
        return ran

    def figures(self, day):
        """Return the counts of every certificate, in the order of the platform's table."""
        rows = json.loads(self.run("statistics", "--as-of", day, "--format", "json").out)
        return {row["certificate_id"]: [row[f"{name}_count"] for name in platform.COUNTS] for row in rows}

    def put_mail(self, name, *events):
        """Put a file of the second day's mail events."""
        content = gzip.compress("\n".join(map(json.dumps, events)).encode())
        self.storage.put(f"{self.prefix}{MAIL_TWO}{name}.json.gz", content)

    def manifest(self, source, day, name="newest"):
        """Return a manifest of a slice."""
        content = self.storage.get(f"{self.prefix}landing/{slice_prefix(source, day)}/{name}.json")
        return Manifest.model_validate_json(content)


@pytest.fixture(scope="module")
def night(storage, tmp_path_factory):
    """Return the platform with both days loaded, and the result of that command."""
    one = Platform(storage, tmp_path_factory.mktemp("loaded"))
    return one, one.run("nightly", "--day", ONE, "--to", TWO)


@pytest.fixture
def own(storage, tmp_path):
    """Return a separate platform with nothing loaded."""
    return Platform(storage, tmp_path)


@pytest.fixture
def landing(storage, tmp_path, monkeypatch):
    """Return an empty landing on the server, for this process."""
    for name, value in storage.variables.items():
        monkeypatch.setenv(name, value)
    Landing("s3://").filesystem.clear_instance_cache()
    return Landing(f"s3://{object_storage.BUCKET}/{tmp_path.name}/landing")


# A night


def test_a_night_from_object_storage_is_the_night_from_folders(night):
    """The slices, the counts and the figures are the same."""
    loaded, ran = night
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        "registry: 28 rows, 0 left out",
        f"mail {ONE}: 23 events, 1 duplicates, 1 rejects, 0 ignored",
        f"view {ONE}: 8 events, 0 duplicates, 1 rejects, 1 ignored",
        f"mail {TWO}: 6 events, 0 duplicates, 0 rejects, 0 ignored",
        f"view {TWO}: 5 events, 0 duplicates, 0 rejects, 0 ignored",
    ]
    assert {day: loaded.figures(str(day)) for day in platform.DAYS} == platform.FIGURES


STEPS = ("extract_slice", "normalise_slice", "validate_slice", "load_slice")
STEP = """
import sys
from datetime import UTC, date, datetime
from etl import pipeline, settings

context = pipeline.open_context(settings.from_environment)
step, *of = sys.argv[1:]
if of:
    now = {"now": datetime.now(UTC)} if step == "load_slice" else {}
    getattr(pipeline, step)(context, of[0], date.fromisoformat(of[1]), **now)
else:
    getattr(pipeline, step)(context)
"""


def test_each_step_may_run_on_another_host(own, postgres_server, tmp_path):
    """Steps of a night share the object store and PostgreSQL. What a host has on its disk is gone after a step."""
    platform.move_to_postgres(own.configuration, postgres_server, "hosts")
    work = [("pull_registry",), *((step, source, ONE) for source in ("mail", "view") for step in STEPS), ("refresh",)]
    for number, step in enumerate(work):
        host = tmp_path / f"host_{number}"
        (host / "tmp").mkdir(parents=True)
        shutil.copy(own.configuration, host / "analytics.toml")
        environment = own.storage.variables | {
            "ANALYTICS_CONFIG": str(host / "analytics.toml"),
            "HASH_KEY": platform.KEY,
            "HOME": str(host),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(host / "tmp"),
        }
        subprocess.run([sys.executable, "-c", STEP, *step], cwd=host, env=environment, check=True)
        shutil.rmtree(host)
    assert own.figures(ONE) == platform.FIGURES[ONE_DATE]


def test_raw_files_are_landed_byte_for_byte(night):
    """Raw files are landed byte for byte, each with its URL."""
    loaded, _ = night
    (raw,) = loaded.manifest("mail", TWO_DATE).raw
    assert raw.origin == f"s3://{object_storage.BUCKET}/{loaded.prefix}{MAIL_TWO}events.json.gz"
    landed = loaded.storage.get(f"{loaded.prefix}landing/{slice_prefix('mail', TWO_DATE)}/{raw.path}")
    assert landed == loaded.storage.get(f"{loaded.prefix}{MAIL_TWO}events.json.gz")


def test_nothing_is_left_half_uploaded(night):
    """A provider bills an incomplete upload for ever, and lists it nowhere."""
    assert night[0].storage.unfinished() == []


def test_check_reports_every_place_as_good(night):
    """There is one line for each place, and the trial object is deleted."""
    loaded, _ = night
    ran = loaded.run("check")
    assert (ran.code, ran.out.count("BAD")) == (0, 0)
    assert "check" not in loaded.storage.keys(f"{loaded.prefix}landing/")


def test_a_warehouse_that_is_lost_is_rebuilt_from_the_landing(night):
    """The logs and the registry may be gone by then."""
    loaded, _ = night
    (loaded.configuration.parent / "warehouse.duckdb").rename(loaded.configuration.parent / "lost")
    nowhere = {f"ANALYTICS_SOURCES__{name}__FILES": "s3://nowhere/{day}" for name in ("MAIL", "VIEW")}
    ran = loaded.run("nightly", "--day", ONE, "--to", TWO, "--from-landing", **nowhere)
    assert ran.code == 0
    assert loaded.figures(TWO) == platform.FIGURES[TWO_DATE]


def test_the_files_of_a_report_are_kept_in_the_landing(night, landing, monkeypatch):
    """An operator of many hosts finds every report in one place, and its URL in the output."""
    loaded, _ = night
    monkeypatch.setenv("ANALYTICS_CONFIG", str(loaded.configuration))
    context = pipeline.open_context({"HASH_KEY": platform.KEY}.get)
    request, lines = pipeline.ReportRequest("s2", TWO), []
    reports = pipeline.plan_reports(context, request, datetime.now(UTC)).reports
    pipeline.land_figures(context, reports, TWO_DATE)
    assert pipeline.make_reports(context, reports, request, None, lines.append) == 0
    assert lines[0] == f"s2 {TWO}: s3://{object_storage.BUCKET}/{loaded.prefix}landing/reports/s2/{TWO}"
    kept = loaded.storage.keys(f"{loaded.prefix}landing/reports/s2/{TWO}/")
    assert kept == ["figures.json", "message.eml", "recipients.csv", "recipients.xlsx", "report.html", "report.pdf"]


# Late, refused and killed


def test_late_files_are_found_and_bad_ones_kept_out(own):
    """A night looks again at the days before. A refused version changes no figure, and a rebuild skips it."""
    first, *others = platform.MAIL[TWO_DATE]
    own.put_mail("events", first)
    own.configuration.write_text(own.configuration.read_text().replace("until = 2026-03-03", "until = 2026-03-09"))
    own.run("nightly", "--day", TWO, "--source", "mail")
    own.put_mail("late", *others)
    own.storage.put(f"{own.prefix}mail/2026/03/04/a.json.gz", gzip.compress(b""))
    ran = own.run("nightly", "--day", "2026-03-04", "--source", "mail")
    assert f"mail {TWO}: 6 events" in ran.err
    own.storage.put(f"{own.prefix}{MAIL_TWO}zz.json.gz", b"\x1f\x8b\x08\x00 cut")
    ran = own.run("nightly", "--day", TWO, "--source", "mail")
    assert ran.code == 1
    assert f"error: mail {TWO}: s3://{object_storage.BUCKET}/{own.prefix}{MAIL_TWO}zz.json.gz cannot be read" in ran.err
    assert own.manifest("mail", TWO_DATE).status == "refused"
    assert own.manifest("mail", TWO_DATE, "loaded").counts.event == 6
    assert own.run("nightly", "--day", TWO, "--source", "mail", "--from-landing").code == 0


@pytest.mark.parametrize("moment", ["raw/", "newest.json", "events.parquet", "loaded.json"])
def test_a_night_that_is_killed_is_simply_run_again(own, moment):
    """What it left is named by no manifest, and does not disturb the next run."""
    ran = own.run("nightly", "--day", ONE, "--source", "view", before=partial(_die_writing, moment))
    assert ran.code == -9
    ran = own.run("nightly", "--day", ONE, "--source", "view")
    assert f"view {ONE}: 8 events" in ran.err
    assert own.manifest("view", ONE_DATE) == own.manifest("view", ONE_DATE, "loaded")


def _die_writing(name):
    """Kill the process when it is about to write such an object of a slice."""
    asked = S3FileSystem._call_s3

    async def dying(self, method, *rest, **options):
        if method == "put_object" and re.search(f"/slices/.*{name}", options["Key"]):
            die()
        return await asked(self, method, *rest, **options)

    S3FileSystem._call_s3, S3FileSystem.call_s3 = dying, sync_wrapper(dying)


# Missing places and wrong keys

WRONG = {
    "an unknown key": ({"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"}, "does not exist in our records"),
    "a wrong secret": ({"AWS_SECRET_ACCESS_KEY": "a wrong secret"}, "Forbidden"),
    "no credentials": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate credentials"),
    "no server": ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "Could not connect"),
    "no bucket": ({"ANALYTICS_LANDING__URL": "s3://nowhere/landing"}, "The specified bucket does not exist"),
}


@pytest.mark.parametrize(("variables", "words"), WRONG.values(), ids=WRONG)
def test_a_landing_that_cannot_be_used_ends_the_night_with_one_line(own, variables, words):
    """The line names the place and what to check. The secret is not printed, and no bucket is made."""
    ran = own.run("nightly", "--day", ONE, **variables)
    assert ran.code == 1
    (line,) = ran.err.splitlines()
    assert line.startswith("error: the landing at s3://")
    assert "see that [landing] url is right" in line
    assert [bucket["Name"] for bucket in own.storage.client.list_buckets()["Buckets"]] == [object_storage.BUCKET]


@pytest.mark.parametrize(("variables", "words"), WRONG.values(), ids=WRONG)
def test_check_says_why_a_landing_cannot_be_used(own, variables, words):
    """`check` prints the storage's own words."""
    ran = own.run("check", **variables)
    (line,) = (line for line in ran.out.splitlines() if "landing: " in line)
    assert line.startswith("BAD landing: the landing at s3://")
    assert words in ran.out


def test_a_source_whose_bucket_is_missing_is_no_quiet_day(own):
    """A mistyped name never makes empty days, not even where a day may be empty."""
    name = "ANALYTICS_SOURCES__VIEW__"
    ran = own.run("nightly", "--day", ONE, **{f"{name}FILES": "s3://nowhere/{day}/*", f"{name}MAY_BE_EMPTY": "true"})
    assert ran.code == 1
    assert f"error: view {ONE}: s3://nowhere/{ONE}/* cannot be read (there is no bucket nowhere); " in ran.err
    assert f"mail {ONE}: 23 events" in ran.err


def test_a_registry_that_cannot_be_reached_is_one_line_and_stops_no_slice(own):
    """The events are loaded, and are attributed when the registry is back."""
    ran = own.run("nightly", "--day", ONE, ANALYTICS_REGISTRY__URL="s3://nowhere/registry")
    assert ran.code == 1
    assert ran.err.splitlines()[0] == (
        "error: the registry at s3://nowhere/registry has no issuers.csv; put the file there"
    )
    assert f"mail {ONE}: 23 events" in ran.err


@pytest.mark.parametrize(("url", "words"), [("nowhere://x", "Protocol not known"), ("gs://x/y", "gcsfs")])
def test_a_landing_of_an_unknown_kind_is_an_error_of_the_configuration(url, words):
    """The error says whether the protocol is unknown or its library is missing."""
    with pytest.raises(ConfigurationError, match=f"landing.url is no place that can be reached .*{words}"):
        Landing(url)


# The landing itself


def test_a_file_of_many_parts_comes_back_as_it_was(landing):
    """The file is larger than one part of an upload, and its length is no multiple of a part."""
    content = bytes(range(256)) * 160_000 + b"end"
    landed = landing.store("prefix", "v/raw/0000-a", io.BytesIO(content), origin="")
    assert landed.size == len(content) > 2 * 16 << 20
    with landing.local(landing.path("prefix", landed.path)) as copy:
        assert copy.read_bytes() == content


def test_a_failure_of_a_source_is_not_blamed_on_the_landing(landing):
    """The error names the place that has to be repaired."""

    class Torn(io.RawIOBase):
        def read(self, size=-1):
            raise TimeoutError("the provider hung up")

    with pytest.raises(TimeoutError, match="hung up"):
        landing.store("prefix", "v/raw", Torn(), origin="")


def test_what_another_process_wrote_is_seen_at_once(landing, storage):
    """A worker that runs for days does not rely on an old listing."""
    prefix = landing.path("prefix").removeprefix(f"{object_storage.BUCKET}/")
    landing.publish(Manifest(prefix="prefix", reason="first"))
    landing.sweep("prefix", before=datetime.now(UTC) - LATER)
    second = Manifest(prefix="prefix", reason="second, and longer")
    storage.put(f"{prefix}/newest.json", second.model_dump_json().encode())
    storage.put(f"{prefix}/v/tables/a.parquet", b"rows")
    assert landing.newest("prefix") == second
    with landing.local(landing.path("prefix", "v/tables")) as folder:
        assert [file.name for file in folder.iterdir()] == ["a.parquet"]


def test_a_sweep_removes_what_is_old_and_unnamed_and_nothing_else(landing, storage):
    """Named versions are kept, and so is the empty object that a browser made for the prefix."""
    prefix = landing.path("prefix").removeprefix(f"{object_storage.BUCKET}/")
    named, orphan = (landing.store("prefix", f"{v}/raw/a", io.BytesIO(b"{}"), origin="") for v in ("named", "orphan"))
    landing.publish(Manifest(prefix="prefix", raw=(named,)))
    storage.put(f"{prefix}/", b"")
    landing.sweep("prefix", before=datetime.now(UTC) - LATER)
    assert orphan.path in storage.keys(f"{prefix}/")
    landing.sweep("prefix", before=datetime.now(UTC) + LATER)
    assert storage.keys(f"{prefix}/") == ["", named.path, "newest.json"]


def test_a_missing_object_is_an_error_of_the_landing(landing):
    """A version whose files were deleted is an error, not an empty slice."""
    with pytest.raises(LandingError, match="v/events is not there"), landing.local(landing.path("v/events")):
        raise AssertionError("something was found")


def test_a_file_that_came_after_the_first_look_is_found_by_the_same_process(landing, storage, tmp_path):
    """Names may hold quotes, spaces and any letters. An empty object that represents the folder is not a file."""
    source = _source(f"{tmp_path.name}/logs")
    for name in ("", "a 'quoted' \"name\".json", "Übersicht+李#1.json"):
        storage.put(f"{tmp_path.name}/logs/{ONE}/{name}", name.encode())
    assert len(_pull(landing, source).raw) == 2
    loaded = landing.newest(slice_prefix("mail", ONE_DATE))
    landing.mark_loaded(loaded)
    assert not extract.has_more(landing, "mail", source, ONE_DATE, today=TWO_DATE, has_failed=False)
    storage.put(f"{tmp_path.name}/logs/{ONE}/later.json", b"{}")
    assert extract.has_more(landing, "mail", source, ONE_DATE, today=TWO_DATE, has_failed=False)
    assert len(_pull(landing, source).raw) == 3


def _source(prefix):
    return Source(format="sendgrid", files=f"s3://{object_storage.BUCKET}/{prefix}/{{day}}/*")


def _pull(landing, source):
    return extract.extract_slice(landing, "mail", source, ONE_DATE, {}.get, today=TWO_DATE)
