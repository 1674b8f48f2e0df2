"""Raw records are landed unchanged, and an empty day never replaces a loaded one."""

import csv
import gzip
import sqlite3
from datetime import UTC, date, datetime

import psycopg
import pytest
from pyarrow import parquet

from etl import extract, settings
from etl.errors import ConfigurationError, NoFiles, NotLanded, RegistryError, UnreadableFile
from etl.landing import Counts, slice_prefix
from etl.normalise import registry

DAY = date(2026, 3, 2)
PREFIX = slice_prefix("mail", DAY)


@pytest.fixture
def logs(tmp_path):
    """Return an empty folder for raw files."""
    folder = tmp_path / "it's the logs"
    folder.mkdir()
    return folder


def source(logs, pattern="{day:%Y-%m-%d}/*", **differing):
    """Return a source that reads that folder."""
    return settings.Source(format="sendgrid", files=f"{logs}/{pattern}", **differing)


def write(logs, name, content=b"{}"):
    """Write a raw file of the day."""
    path = logs / DAY.isoformat() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def pull(landing, mail, **options):
    """Extract the day."""
    return extract.extract_slice(landing, "mail", mail, DAY, {}.get, today=DAY, **options)


def landed(landing, manifest):
    """Return the contents of the landed raw files."""
    return [landing.read(landing.path(PREFIX, file.path)) for file in manifest.raw]


def load(landing, manifest, raw=1):
    """Record that the warehouse holds this version, with so many records."""
    landing.mark_loaded(manifest.model_copy(update={"status": "valid", "counts": Counts(raw=raw, event=raw)}))


# Files


def test_files_are_landed_byte_for_byte_in_the_order_of_their_names(landing, logs):
    """Compressed files stay compressed, and damaged files stay damaged."""
    contents = [gzip.compress(b"{}"), b"\xff\x00\r\n", b""]
    for name, content in zip(("a.json.gz", "b.json", "c.json"), contents, strict=True):
        write(logs, name, content)
    manifest = pull(landing, source(logs))
    assert landed(landing, manifest) == contents
    assert [file.path.rsplit("-", 1)[-1] for file in manifest.raw] == ["a.json.gz", "b.json", "c.json"]
    assert manifest == landing.newest(PREFIX)


def test_a_landed_file_names_its_origin(landing, logs):
    """A reject can be found in the provider's raw file, not only in a copy."""
    path = write(logs, "a.json")
    assert pull(landing, source(logs)).raw[0].origin == f"file://{path}"


def test_only_the_files_of_the_day_are_extracted(landing, logs):
    """A pattern may write the day in any format."""
    for name in ("access.log-20260302.gz", "access.log-20260303.gz", "access.log-20260302.md5"):
        (logs / name).write_bytes(name.encode())
    manifest = pull(landing, source(logs, "access.log-{day:%Y%m%d}*.gz"))
    assert landed(landing, manifest) == [b"access.log-20260302.gz"]


def test_rotated_files_are_named_for_the_day_after(landing, logs):
    """A file that is closed at midnight has the next day's date in its name."""
    (logs / "access.log-20260302").write_bytes(b"of the day before")
    (logs / "access.log-20260303").write_bytes(b"of the day")
    manifest = pull(landing, source(logs, "access.log-{next_day:%Y%m%d}"))
    assert landed(landing, manifest) == [b"of the day"]


def test_two_files_of_one_name_in_two_folders_are_two_files(landing, logs):
    """Files of the same name from several hosts do not overwrite one another."""
    write(logs, "host1/access.log", b"1")
    write(logs, "host2/access.log", b"2")
    assert landed(landing, pull(landing, source(logs, "{day}/*/access.log"))) == [b"1", b"2"]


def test_names_may_hold_quotes_spaces_and_letters(landing, logs):
    """A file name may hold any character, and is never executed."""
    for name in ("o'neil; drop.json", 'a "quoted" name.json', "Übersicht 李.json"):
        write(logs, name, name.encode())
    assert len(landed(landing, pull(landing, source(logs)))) == 3


def test_a_folder_that_matches_is_no_file(landing, logs):
    """Only files hold records."""
    write(logs, "a.json")
    (logs / DAY.isoformat() / "b.json").mkdir()
    assert len(pull(landing, source(logs)).raw) == 1


def test_a_later_file_is_found_by_the_same_process(landing, logs):
    """A worker that runs for days does not rely on an old listing."""
    write(logs, "a.json")
    pull(landing, source(logs))
    write(logs, "b.json")
    assert len(pull(landing, source(logs)).raw) == 2


def test_a_day_without_files_fails_and_names_the_pattern(landing, logs):
    """A log that did not come is not a quiet day. The error gives three ways to go on."""
    with pytest.raises(
        NoFiles, match=r"mail 2026-03-02: no file matches .*2026-03-02/\*; bring the files, or set may_be"
    ):
        pull(landing, source(logs))
    assert landing.newest(PREFIX) is None


def test_a_day_may_be_empty_where_the_source_allows_it(landing, logs):
    """A small sender has quiet days."""
    assert pull(landing, source(logs, may_be_empty=True)).raw == ()


@pytest.mark.parametrize("may_be_empty", [True, False])
def test_an_empty_day_never_replaces_a_loaded_one(landing, logs, may_be_empty):
    """Raw files that a retention rule deleted do not take the loaded records with them."""
    load(landing, manifest := _one_file(landing, logs))
    with pytest.raises(NoFiles):
        pull(landing, source(logs, may_be_empty=may_be_empty))
    assert landing.newest(PREFIX) == manifest


def test_an_empty_day_replaces_a_loaded_one_with_replace(landing, logs):
    """--replace is for a day that really is empty."""
    load(landing, _one_file(landing, logs))
    assert pull(landing, source(logs), replace=True).raw == ()


def test_an_empty_day_may_be_empty_again(landing, logs):
    """A quiet day can be run again."""
    load(landing, pull(landing, source(logs, may_be_empty=True)), raw=0)
    assert pull(landing, source(logs, may_be_empty=True)).raw == ()


def _one_file(landing, logs):
    """Return a version from a file that has been deleted since."""
    path = write(logs, "a.json")
    manifest = pull(landing, source(logs))
    path.unlink()
    return manifest


def test_a_file_that_cannot_be_read_keeps_the_former_version(landing, logs):
    """The error names the file, and the version landed before stays the newest."""
    write(logs, "a.json")
    former = pull(landing, source(logs))
    (logs / DAY.isoformat() / "b.json").symlink_to("/proc/self/mem")
    with pytest.raises(UnreadableFile, match=r"mail 2026-03-02: .*/b\.json cannot be read \(.+\); have it"):
        pull(landing, source(logs))
    assert landing.newest(PREFIX) == former


@pytest.mark.parametrize(
    ("files", "words"),
    [("nowhere://bucket/{day}", "Protocol not known: nowhere"), ("ftp://127.0.0.1:9/{day}/*", "Connection refused")],
)
def test_a_place_that_cannot_be_reached_is_a_failing_slice(landing, files, words):
    """The other sources go on, and `check` names this one."""
    mail = settings.Source(format="sendgrid", files=files)
    with pytest.raises(UnreadableFile, match=words):
        pull(landing, mail)
    with pytest.raises(OSError, match=words):
        extract.probe(mail, DAY, {}.get)


def test_check_says_how_many_files_a_day_has(logs):
    """A wrong pattern is seen before the night."""
    write(logs, "a.json")
    assert extract.probe(source(logs), DAY, {}.get).startswith("1 files of 2026-03-02 match ")


# Reusing what was landed


def test_a_landed_version_is_reused(landing, logs):
    """A rebuild extracts nothing."""
    manifest = _one_file(landing, logs)
    assert extract.reuse_landed(landing, "mail", DAY) == manifest


def test_a_refused_version_gives_way_to_the_loaded_one(landing, logs):
    """A rebuild makes the same warehouse as before."""
    write(logs, "a.json")
    load(landing, pull(landing, source(logs)))
    landing.publish(pull(landing, source(logs)).model_copy(update={"status": "refused"}))
    assert extract.reuse_landed(landing, "mail", DAY) == landing.loaded(PREFIX) == landing.newest(PREFIX)


def test_a_slice_that_was_never_landed_cannot_be_reused(landing):
    """The error says how to extract it."""
    with pytest.raises(NotLanded, match="mail 2026-03-02: nothing was landed; run the day without --from-landing"):
        extract.reuse_landed(landing, "mail", DAY)


# The registry

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
ROWS = {
    "issuers": [("i1", "Northwind", None, "#aabbcc")],
    "certificates": [("c1", "i1", 'Data "Literacy"\n100 % :real', "certificate", AT)],
    "recipients": [
        ("r1", "c1", "Ada@example.com", "Ada, King", "m1", AT, AT),
        ("r2", "c1", "bob@example.com", "", None, None, AT),
        ("r3", "c9", "cy@example.com", "Cy", None, None, AT),
    ],
    "subscriptions": [("s1", "i1", "dean@example.com", "daily", "UTC", "en", True)],
}
TYPES = {"created_at": "TIMESTAMPTZ", "access_email_sent_at": "TIMESTAMPTZ", "paused": "BOOLEAN"}


def csv_value(value):
    """Return a value as a CSV file has it."""
    return (
        str(value).lower() if isinstance(value, bool) else value.isoformat() if isinstance(value, datetime) else value
    )


def folder(tmp_path, postgres_url):
    """Write the registry as four CSV files."""
    for table, rows in ROWS.items():
        with (tmp_path / f"{table}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([registry.HEADERS[table], *([csv_value(value) for value in row] for row in rows)])
    return settings.Registry(url=f"file://{tmp_path}")


def postgres(tmp_path, postgres_url):
    """Write the registry to PostgreSQL with typed columns. The queries hold characters that drivers may interpret."""
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        for table, rows in ROWS.items():
            columns = ", ".join(f"{name} {TYPES.get(name, 'TEXT')}" for name in registry.HEADERS[table])
            connection.execute(f"CREATE TABLE {table} ({columns})")
            places = ", ".join(["%s"] * len(rows[0]))
            for row in rows:
                connection.execute(f"INSERT INTO {table} VALUES ({places})", row)
    queries = {table: f"SELECT * FROM {table} WHERE 'a%:b' LIKE '%:b' AND '1'::int = 1" for table in ROWS}
    return settings.Registry(url=postgres_url, queries=queries)


def sqlite(tmp_path, postgres_url):
    """Write the registry to SQLite as texts. The queries hold characters that drivers may interpret."""
    with sqlite3.connect(tmp_path / "platform.db") as connection:
        for table, rows in ROWS.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(registry.HEADERS[table])})")
            places = ", ".join("?" * len(rows[0]))
            connection.executemany(
                f"INSERT INTO {table} VALUES ({places})", [[csv_value(v) for v in row] for row in rows]
            )
    queries = {table: f"SELECT * FROM {table} WHERE 'a%:b' LIKE '%:b'" for table in ROWS}
    return settings.Registry(url=f"sqlite:///{tmp_path}/platform.db", queries=queries)


@pytest.mark.parametrize("kind", [folder, postgres, sqlite])
def test_the_registry_is_the_same_from_files_and_from_databases(landing, tmp_path, postgres_url, kind):
    """The place of the platform's data changes no row: neither times, nulls and booleans nor quotes and line breaks."""
    extract.pull_registry(landing, kind(tmp_path, postgres_url), {}.get)
    manifest = registry.normalise_registry(landing, settings.Normalise(), hash_key="k", forgotten=())
    tables = {
        name: sorted(
            parquet.read_table(landing.path("registry", manifest.events, f"{name}.parquet")).to_pylist(),
            key=lambda row: next(iter(row.values())),
        )
        for name in ROWS
    }
    assert tables["certificates"][0]["name"] == 'Data "Literacy"\n100 % :real'
    assert [(row["recipient_id"], row["access_email_sent_at"], row["name"]) for row in tables["recipients"]] == [
        ("r1", AT.replace(tzinfo=None), "Ada, King"), ("r2", None, "")
    ]  # fmt: skip
    assert (tables["issuers"][0]["logo"], tables["subscriptions"][0]["is_paused"]) == (None, True)
    assert manifest.counts == Counts(raw=6, event=5, reject=1)


TIME = "'2026-03-01 08:00+00'::timestamptz"
BAD_TIME = "bad created_at: write it as 2026-11-20T08:00:00Z"


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        *[
            ("created_at", value, BAD_TIME)
            for value in (
                "'infinity'::timestamptz", "'-infinity'::timestamp", "'infinity'::date", "'10000-01-01'::date",
                "'294276-01-01 00:00+00'::timestamptz", "'0044-03-15 BC'::date", "'4713-01-01 BC'::timestamp",
                "'24:00:00'::time",
            )
        ],
        ("created_at", "'178000000 years'::interval", "created_at is no text, number, time or UUID"),
        ("created_at", "'1 day'::interval", "created_at is no text, number, time or UUID"),
        ("recipient_id", "'NaN'::numeric", "recipient_id is no text, number, time or UUID"),
        ("recipient_id", "'Infinity'::float8", "recipient_id is no text, number, time or UUID"),
        ("recipient_id", r"'\xff00'::bytea", "recipient_id is no text, number, time or UUID"),
        ("email", "ARRAY['a@example.com']", "email is no text, number, time or UUID"),
        ("email", """'{"a": 1}'::jsonb""", "email is no text, number, time or UUID"),
    ],
)  # fmt: skip
def test_a_value_that_python_cannot_hold_costs_its_own_row_only(landing, postgres_url, column, value, reason):
    """The row is listed and left out; the pull and all other rows are kept."""
    row = {"recipient_id": "'r1'", "certificate_id": "'c1'", "email": "'a@example.com'", "name": "'A'"}
    row |= {"message_id": "NULL::text", "access_email_sent_at": f"{TIME}", "created_at": TIME}
    bad = ", ".join(f"{value if name == column else text} AS {name}" for name, text in row.items())
    sound = ", ".join("NULL" if name == column else text for name, text in row.items()).replace("'r1'", "'r0'")
    queries = {
        "issuers": "SELECT 'i1' AS issuer_id, 'A' AS name",
        "certificates": f"SELECT 'c1' AS certificate_id, 'i1' AS issuer_id, 'A' AS name, 'badge' AS kind, {TIME} AS created_at",
        "recipients": f"SELECT {bad} UNION ALL SELECT {sound}",
        "subscriptions": "SELECT 's1' AS subscription_id, 'i1' AS issuer_id, 'a@b.example' AS email, 'daily' AS frequency,"
        " 'UTC' AS timezone, 'en' AS locale, false AS paused",
    }
    extract.pull_registry(landing, settings.Registry(url=postgres_url, queries=queries), {}.get)
    manifest = registry.normalise_registry(landing, settings.Normalise(), hash_key="k", forgotten=())
    listed = parquet.read_table(landing.path("registry", manifest.rejects)).to_pylist()
    assert manifest.tables["subscriptions"] == Counts(raw=1, event=1)
    assert [row["reason"] for row in listed if row["line"] == 2] == [reason]


def test_values_of_other_types_are_read_as_text(landing, postgres_url):
    """Ids may be numbers, UUIDs or bytes; a date is midnight UTC."""
    queries = {
        "issuers": "SELECT 1 AS issuer_id, 'A'::bytea AS name",
        "certificates": "SELECT '6ecd8c99-4036-403d-bf84-cf8400f67836'::uuid AS certificate_id, 1.0::float8 AS issuer_id,"
        " 'A'::varchar(9) AS name, 'badge'::char(9) AS kind, '2026-03-01'::date AS created_at",
        "recipients": "SELECT 9007199254740993 AS recipient_id, '6ecd8c99-4036-403d-bf84-cf8400f67836' AS certificate_id,"
        " 'a@example.com' AS email, NULL AS name, 12::numeric AS message_id, NULL AS access_email_sent_at,"
        " '2026-03-01 08:00'::timestamp AS created_at",
        "subscriptions": "SELECT 7 AS subscription_id, 1.00::numeric AS issuer_id, 'a@b.example' AS email, 'daily' AS frequency,"
        " 'UTC' AS timezone, 'en' AS locale, 0 AS paused, 'summary' AS detail",
    }
    extract.pull_registry(landing, settings.Registry(url=postgres_url, queries=queries), {}.get)
    manifest = registry.normalise_registry(landing, settings.Normalise(), hash_key="k", forgotten=())
    assert parquet.read_table(landing.path("registry", manifest.rejects)).to_pylist() == []
    assert (manifest.counts, manifest.tables["recipients"].event) == (Counts(raw=4, event=4), 1)


def test_a_text_of_sqlite_that_is_not_utf_8_costs_its_own_row_only(landing, tmp_path, postgres_url):
    """SQLite keeps any bytes as a text. An id with them is left out, a name is marked; both are listed."""
    configured = sqlite(tmp_path, postgres_url)
    with sqlite3.connect(tmp_path / "platform.db") as connection:
        connection.execute("UPDATE recipients SET name = CAST(x'41ff' AS TEXT) WHERE recipient_id = 'r1'")
        connection.execute("UPDATE recipients SET recipient_id = CAST(x'ff' AS TEXT) WHERE recipient_id = 'r2'")
    extract.pull_registry(landing, configured, {}.get)
    manifest = registry.normalise_registry(landing, settings.Normalise(), hash_key="k", forgotten=())
    listed = parquet.read_table(landing.path("registry", manifest.rejects)).to_pylist()
    reason = "has bytes that cannot be decoded; they became U+FFFD"
    assert [(row["id"], row["reason"]) for row in listed] == [
        ("r1", f"name {reason}"), (None, f"recipient_id {reason}"), ("r3", "unknown certificate")
    ]  # fmt: skip
    assert manifest.tables["recipients"] == Counts(raw=3, event=1, reject=2)


def test_a_registry_without_a_file_names_it(landing, tmp_path, postgres_url):
    """Nothing is published, so the former registry is kept."""
    table = folder(tmp_path, postgres_url)
    (tmp_path / "recipients.csv").unlink()
    with pytest.raises(RegistryError, match=r"has no recipients.csv; put the file there"):
        extract.pull_registry(landing, table, {}.get)
    assert landing.newest("registry") is None


def test_a_query_that_fails_says_what_the_database_said_without_its_data(landing, postgres_url):
    """The error has the first line of the driver's message, without the addresses that it quotes."""
    queries = dict.fromkeys(ROWS, "SELECT CAST('ada@example.com' AS INTEGER) AS issuer_id")
    with pytest.raises(RegistryError) as error:
        extract.pull_registry(landing, settings.Registry(url=postgres_url, queries=queries), {}.get)
    assert "registry.queries.issuers failed (invalid input syntax for type integer" in str(error.value)
    assert "example.com" not in str(error.value)


def test_the_four_queries_are_all_needed(landing, postgres_url):
    """The error names the missing query."""
    with pytest.raises(ConfigurationError, match=r"registry.queries.issuers is missing; write one SELECT for each"):
        extract.pull_registry(landing, settings.Registry(url=postgres_url, queries={"recipients": "SELECT 1"}), {}.get)


@pytest.mark.parametrize(
    ("url", "queries", "words"),
    [
        ("postgresql+psycopg://me@db/platform", {}, "if it is a database, write registry.queries"),
        ("file:///srv/registry", dict.fromkeys(ROWS, "SELECT 1"), "registry.url is no database's"),
        ("nonsense", dict.fromkeys(ROWS, "SELECT 1"), "registry.url is no database's"),
    ],
)
def test_a_registry_that_is_half_folder_half_database_is_refused(landing, url, queries, words):
    """The error says whether the queries are missing or the URL is not a database's."""
    with pytest.raises(ConfigurationError, match=words):
        extract.pull_registry(landing, settings.Registry(url=url, queries=queries), {}.get)


def test_a_database_that_is_not_there_is_an_error_without_its_password(landing):
    """The password is used for the connection and for nothing else."""
    table = settings.Registry(
        url="postgresql+psycopg://me@127.0.0.1:9/p", secret="DB", queries=dict.fromkeys(ROWS, "SELECT 1")
    )
    with pytest.raises(RegistryError) as error:
        extract.probe_registry(table, {"DB": "hunter2"}.get)
    assert "hunter2" not in str(error.value)
    assert "127.0.0.1" in str(error.value)
