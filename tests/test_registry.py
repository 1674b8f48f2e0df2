"""The registry's rows are kept or rejected, and a damaged registry never replaces the loaded one."""

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
    """Write the four CSV files of a case. A text that does not begin with a known header gets the usual one."""
    folder.mkdir(exist_ok=True)
    for table, rows in {**USUAL, **given}.items():
        names = registry.HEADERS[table]
        has_header = all(name in rows.split("\n")[0] for name in names if name not in ("logo", "color"))
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


def rejects(landing, manifest):
    """Return the rows left out."""
    return [list(row.values()) for row in parquet.read_table(landing.path("registry", manifest.rejects)).to_pylist()]


def people(number):
    """Return so many recipients."""
    return "\n".join(f"r{n:02},c1,{n}@example.com,Ada,,,2026-03-01T09:00:00Z" for n in range(number))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_a_row_is_kept_or_rejected_with_its_line_and_reason(landing, tmp_path, case):
    """The registry's owner learns which rows to correct, and the other rows count."""
    write(tmp_path / "registry", case["given"])
    manifest = pull(landing, tmp_path / "registry")
    assert rejects(landing, manifest) == case.get("rejects", [])
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
    loaded(landing, tmp_path, 18)
    write(tmp_path / "registry", {"recipients": people(16)})
    assert pull(landing, tmp_path / "registry").counts.event == 18


def test_a_registry_that_lost_more_than_a_tenth_is_refused(landing, tmp_path):
    """A broken export does not empty all figures. The error has the numbers and says how to go on."""
    former = loaded(landing, tmp_path, 18)
    write(tmp_path / "registry", {"recipients": people(15)})
    with pytest.raises(RegistryError, match=r"17 rows, under 90 % of the 20 before, which stay; .* --replace"):
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
