"""What becomes of the registry's rows, and what never replaces the registry that is loaded."""

from pathlib import Path

import pytest
import yaml
from pyarrow import parquet

from etl import extract, settings
from etl.errors import RegistryError
from etl.landing import Landing
from etl.normalise import registry

USUAL = {
    "issuers": "i1,Northwind,,",
    "certificates": "c1,i1,Data Literacy,certificate,2026-03-01T08:00:00Z",
    "recipients": "",
    "subscriptions": "",
}
CASES = yaml.safe_load(Path("tests/cases/registry/rules.yaml").read_text())


def write(folder, given):
    """The four CSV files of a case; a text that begins with no known header gets the usual one."""
    folder.mkdir(exist_ok=True)
    for table, rows in {**USUAL, **given}.items():
        names = registry.HEADERS[table]
        has_header = all(name in rows.split("\n")[0] for name in names if name not in ("logo", "color"))
        text = rows if has_header else f"{','.join(names)}\n{rows}"
        (folder / f"{table}.csv").write_bytes(text.encode())


def pull(landing, folder, *, replace=False, forgotten=()):
    """The registry of a folder, landed and classified."""
    extract.pull_registry(landing, settings.Registry(url=f"file://{folder}"), {}.get)
    return registry.normalise_registry(
        landing, settings.Normalise(), hash_key="k", forgotten=forgotten, replace=replace
    )


def table(landing, manifest, name):
    """The rows of a classified table that hold, by their id."""
    path = landing.path("registry", manifest.events, f"{name}.parquet")
    return sorted(parquet.read_table(path).to_pylist(), key=lambda row: row[f"{name[:-1]}_id"])


def rejects(landing, manifest):
    """The rows left out."""
    return [list(row.values()) for row in parquet.read_table(landing.path("registry", manifest.rejects)).to_pylist()]


def people(number):
    """So many recipients."""
    return "\n".join(f"r{n:02},c1,{n}@example.com,Ada,,,2026-03-01T09:00:00Z" for n in range(number))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_a_row_holds_or_is_listed_with_its_line_and_reason(landing, tmp_path, case):
    """Whoever owns the registry learns which rows to mend; the others count."""
    write(tmp_path / "registry", case["given"])
    manifest = pull(landing, tmp_path / "registry")
    assert rejects(landing, manifest) == case.get("rejects", [])
    for name, wanted in case.get("kept", {}).items():
        rows = table(landing, manifest, name)
        assert [{key: row[key] for key in wish} for row, wish in zip(rows, wanted, strict=True)] == wanted


def test_counts_tell_how_many_rows_hold_and_how_many_do_not(landing, tmp_path):
    """What the nightly line says adds up: an issuer, a certificate, two recipients hold, one recipient does not."""
    write(tmp_path / "registry", {"recipients": people(2) + "\nr9,c9,x@example.com,X,,,2026-03-01T09:00:00Z"})
    counts = pull(landing, tmp_path / "registry").counts
    assert (counts.raw, counts.event, counts.reject) == (5, 4, 1)


def test_no_list_of_rejects_holds_an_address(landing, tmp_path):
    """The list may be mailed around."""
    write(tmp_path / "registry", {"recipients": people(1).replace("c1", "c9")})
    assert "example.com" not in str(rejects(landing, pull(landing, tmp_path / "registry")))


def test_an_address_has_the_hash_that_its_events_have(landing, tmp_path):
    """Letters in any case and a name around it are the same address; another key gives another hash."""
    addresses = ("Ada@Example.com", "ada@example.com", "Ada <ada@example.com>")
    rows = "\n".join(f"r{n},c1,{text},,,,2026-03-01T09:00:00Z" for n, text in enumerate(addresses))
    write(tmp_path / "registry", {"recipients": rows})
    hashes = {row["address_hash"] for row in table(landing, pull(landing, tmp_path / "registry"), "recipients")}
    assert len(hashes) == 1
    again = registry.normalise_registry(landing, settings.Normalise(), hash_key="other", forgotten=())
    assert hashes.isdisjoint(row["address_hash"] for row in table(landing, again, "recipients"))


def test_a_forgotten_recipient_is_not_read_again(landing, tmp_path):
    """Who asked to be erased stays erased, whatever the platform still holds; it is no reject either."""
    write(tmp_path / "registry", {"recipients": people(3)})
    manifest = pull(landing, tmp_path / "registry", forgotten=["r01"])
    assert [row["recipient_id"] for row in table(landing, manifest, "recipients")] == ["r00", "r02"]
    assert (rejects(landing, manifest), manifest.counts.reject) == ([], 0)


@pytest.mark.parametrize("name", registry.HEADERS)
def test_a_table_without_a_needed_column_names_it(landing, tmp_path, name):
    """The reader is told which column of which table, and which ones there must be; the pull is refused."""
    column = registry.HEADERS[name][0]
    write(tmp_path / "registry", {})
    path = tmp_path / "registry" / f"{name}.csv"
    path.write_text(path.read_text().replace(column, "id"))
    with pytest.raises(RegistryError, match=f"the registry's {name} has no column {column}; it needs {column}, "):
        pull(landing, tmp_path / "registry")
    assert landing.newest("registry").status == "extracted"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\xff\xfe", b'"', b"a;b;c\n1;2;3\n"])
def test_a_file_that_is_no_csv_is_refused_in_words(landing, tmp_path, content):
    """Whatever the bytes are, the reader sees a sentence."""
    write(tmp_path / "registry", {})
    (tmp_path / "registry" / "issuers.csv").write_bytes(content)
    with pytest.raises(RegistryError, match="the registry's issuers has no column issuer_id"):
        pull(landing, tmp_path / "registry")


def loaded(landing, tmp_path, number):
    """A registry with so many recipients, an issuer and a certificate, which the warehouse holds."""
    write(tmp_path / "registry", {"recipients": people(number)})
    landing.mark_loaded(manifest := pull(landing, tmp_path / "registry"))
    return manifest


def test_nine_rows_of_ten_are_enough(landing, tmp_path):
    """People leave, and the registry follows."""
    loaded(landing, tmp_path, 18)
    write(tmp_path / "registry", {"recipients": people(16)})
    assert pull(landing, tmp_path / "registry").counts.event == 18


def test_a_registry_that_lost_more_than_a_tenth_is_refused(landing, tmp_path):
    """A broken export does not empty all figures; the sentence has the numbers and the way out."""
    former = loaded(landing, tmp_path, 18)
    write(tmp_path / "registry", {"recipients": people(15)})
    with pytest.raises(RegistryError, match=r"17 rows, under 90 % of the 20 before, which stay; .* --replace"):
        pull(landing, tmp_path / "registry")
    assert landing.newest("registry").status == "normalised"
    landing.publish(landing.newest("registry").model_copy(update={"status": "refused"}))
    assert extract.reuse_registry(landing) == former


def test_a_registry_may_shrink_when_somebody_says_so(landing, tmp_path):
    """--replace is for the day on which it is right."""
    loaded(landing, tmp_path, 18)
    write(tmp_path / "registry", {"recipients": people(1)})
    assert pull(landing, tmp_path / "registry", replace=True).status == "valid"


def test_a_registry_is_classified_the_same_from_an_object_store(tmp_path):
    """Where the landing lies changes nothing."""
    here, there = Landing(f"file://{tmp_path}/landing"), Landing(f"memory://{tmp_path}/landing")
    write(tmp_path / "registry", {"recipients": people(3)})
    assert pull(here, tmp_path / "registry").counts == pull(there, tmp_path / "registry").counts
    path = there.path("registry", there.newest("registry").events, "recipients.parquet")
    assert there.filesystem.size(path) > 0


def test_a_registry_that_nobody_pulled_is_an_error_in_words(landing):
    """The order of the stages is told."""
    with pytest.raises(RegistryError, match="pull it first"):
        registry.normalise_registry(landing, settings.Normalise(), hash_key="k", forgotten=())


def test_a_logo_may_be_large(landing, tmp_path):
    """Half a megabyte of picture is a row like any other."""
    write(tmp_path / "registry", {"issuers": f'i1,Northwind,"data:image/png;base64,{"A" * 500_000}",'})
    assert len(table(landing, pull(landing, tmp_path / "registry"), "issuers")[0]["logo"]) > 500_000


def test_times_are_kept_in_utc(landing, tmp_path):
    """A certificate made at midnight in Kathmandu was made the evening before."""
    write(tmp_path / "registry", {"certificates": "c1,i1,A,badge,2026-03-02T00:00:00+05:45"})
    rows = table(landing, pull(landing, tmp_path / "registry"), "certificates")
    assert rows[0]["created_at"].isoformat() == "2026-03-01T18:15:00"
