"""The second half of the stage normalise: the pulled registry as four tables of Parquet, and the rows left out.

The rules are SQL (``sql/normalise/registry/``): a row with an unknown issuer, a bad date or an id that stood before is listed
with its reason and left out; the others go on.
"""

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from zoneinfo import available_timezones

import duckdb

from etl import documents, normalise, settings
from etl.errors import RegistryError
from etl.landing import Counts, Landing, Manifest

HEADERS = {
    "issuers": ("issuer_id", "name", "logo", "color"),
    "certificates": ("certificate_id", "issuer_id", "name", "kind", "created_at"),
    "recipients": (
        "recipient_id",
        "certificate_id",
        "email",
        "name",
        "message_id",
        "access_email_sent_at",
        "created_at",
    ),
    "subscriptions": ("subscription_id", "issuer_id", "email", "frequency", "timezone", "locale", "paused"),
}
_OPTIONAL = ("logo", "color")
_KEPT_SHARE = 0.9
_SQL = Path(__file__).parent.parent / "sql" / "normalise" / "registry"


def normalise_registry(
    landing: Landing,
    limits: settings.Normalise,
    *,
    hash_key: str,
    forgotten: Iterable[str],
    replace: bool = False,
) -> Manifest:
    """Judges the registry landed last and publishes the version: ``counts.event`` rows hold, ``counts.reject`` are left out.

    RegistryError, and the version is refused, where a table or a column is missing, or where under 90 % of the rows
    of the loaded version are left, unless ``replace``.
    """
    manifest = landing.newest("registry")
    if manifest is None:
        raise RegistryError("no registry was landed; pull it first")
    version = landing.fresh_version()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = stack.enter_context(landing.local_folder(landing.path("registry", version)))
        connection = stack.enter_context(normalise.connected(limits, scratch))
        normalise.bind(
            connection, hash_key=hash_key, forgotten=list(forgotten), timezones=sorted(available_timezones())
        )
        for raw in manifest.raw:
            path = stack.enter_context(landing.local(landing.path("registry", raw.path)))
            _read(connection, raw.origin, documents.clean(path, "lines", scratch).path)
        counts = _write(connection, folder)
    judged = manifest.model_copy(
        update={
            "events": f"{version}/tables",
            "rejects": f"{version}/rejects.parquet",
            "counts": counts,
            "status": "valid",
            "reason": None,
        }
    )
    loaded = landing.loaded("registry")
    if loaded and not replace and counts.event < _KEPT_SHARE * loaded.counts.event:
        reason = f"the registry has {counts.event} rows, under 90 % of the {loaded.counts.event} before, which stay; if that is right, re-run with --replace"
        landing.publish(judged.model_copy(update={"status": "refused", "reason": reason}))
        raise RegistryError(reason)
    landing.publish(judged)
    return judged


def _read(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    """Makes a CSV file a numbered table ``raw_<table>`` of texts; optional columns may be missing, others not."""
    try:
        rows = connection.read_csv(
            str(path),
            header=True,
            all_varchar=True,
            sep=",",
            quotechar='"',
            escapechar='"',
            null_padding=True,
            parallel=False,
        )
        missing = [name for name in HEADERS[table] if name not in rows.columns and name not in _OPTIONAL]
        if missing:
            raise RegistryError(
                f"the registry's {table} has no column {missing[0]}; it needs {', '.join(HEADERS[table])}"
            )
        named = [name if name in rows.columns else f"NULL::VARCHAR AS {name}" for name in HEADERS[table]]
        rows.project(", ".join(("ROW_NUMBER() OVER () AS line", *named))).create(f"raw_{table}")
    except duckdb.Error as error:
        raise RegistryError(
            f"the registry's {table} is no readable CSV: {str(error).splitlines()[0]}"
        ) from None


def _write(connection: duckdb.DuckDBPyConnection, folder: Path) -> Counts:
    (folder / "tables").mkdir()
    for table in HEADERS:
        normalise.query(connection, f"registry/{table}").create(table)
        connection.table(table).filter("reason IS NULL").write_parquet(
            str(folder / "tables" / f"{table}.parquet")
        )
    rejects = normalise.query(connection, "registry/rejects")
    rejects.write_parquet(str(folder / "rejects.parquet"))
    kept = sum(len(connection.table(table).filter("reason IS NULL")) for table in HEADERS)
    left_out = len(rejects)
    return Counts(raw=kept + left_out, event=kept, reject=left_out)
