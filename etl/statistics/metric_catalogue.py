"""The metric catalogue, at any instant and as stored: parameters are bound here, every figure is computed in SQL."""

import json
from collections import defaultdict
from datetime import date, datetime

from etl.errors import UnknownName
from etl.periods import period_end
from etl.settings import Settings
from etl.warehouse import EVERYTHING, Row, Warehouse

METRIC_CATALOGUE_VERSION = 1


def refresh(warehouse: Warehouse, settings: Settings) -> None:
    """Recompute the stored figures of the certificates that a load touched, or of all if a setting changed."""
    rules = json.dumps({"metric_catalogue_version": METRIC_CATALOGUE_VERSION, **_rules(settings)})
    warehouse.refresh(rules, **EVERYTHING, **_rules(settings))


def catalogue(
    warehouse: Warehouse, settings: Settings, as_of: date, timezone: str, issuer: str | None, certificate: str | None
) -> list[Row]:
    """Return the metric catalogue: one row per certificate that existed at the end of the local day, by certificate_id.

    Raise UnknownName if the registry does not have the issuer or the certificate.
    """
    _require(warehouse, "issuer", issuer)
    _require(warehouse, "certificate", certificate)
    bounds = bounds_of(settings, period_end(as_of, timezone), issuer, certificate)
    return with_shares(warehouse, warehouse.rows("metric_catalogue", **bounds), as_of, bounds)


def recipients(warehouse: Warehouse, settings: Settings, as_of: date, timezone: str, certificate: str) -> list[Row]:
    """Return one row per recipient of a certificate at the end of the local day, by recipient_id.

    Raise UnknownName if the registry does not have the certificate.
    """
    _require(warehouse, "certificate", certificate)
    bounds = bounds_of(settings, period_end(as_of, timezone), None, certificate)
    return [
        {name: value for name, value in row.items() if name != "certificate_id"}
        for row in warehouse.rows("listed_recipients", **bounds)
    ]


def attribution(warehouse: Warehouse, first: date | None = None, last: date | None = None) -> Row:
    """Return the number of distinct events of the slices of some UTC days, of all by default.

    Beside it stand the numbers of those without a recipient, of those that name another certificate, and of the late ones.
    """
    return warehouse.rows("attribution", **EVERYTHING, first_date=first, last_date=last)[0]


def bounds_of(settings: Settings, end: datetime, issuer: str | None = None, certificate: str | None = None) -> Row:
    """Return the parameters of every query of figures: what they are about, until when, and by which rules."""
    scope = {"period_end": end, "issuer_id": issuer, "certificate_id": certificate}
    return EVERYTHING | scope | _rules(settings)


def _rules(settings: Settings) -> Row:
    """Return the settings that figures depend on, as parameters of the SQL."""
    hosts = "".join(f"{host.lower()}|" for host in settings.credential.hosts)
    return {
        "credential_hosts": hosts and f"|{hosts}",
        "count_share_links": settings.credential.count_share_links,
        **settings.machines.model_dump(),
    }


def _require(warehouse: Warehouse, kind: str, name: str | None) -> None:
    if name is not None and not warehouse.rows("registered_names", kind=kind, name=name):
        raise UnknownName(kind, name)


def with_shares(warehouse: Warehouse, rows: list[Row], as_of: date, bounds: Row) -> list[Row]:
    """Return rows of certificates with the as-of date and the recipients who shared on each channel."""
    shares: dict[str, dict[str, int]] = defaultdict(dict)
    for row in warehouse.rows("channel_shares", **bounds):
        shares[row["certificate_id"]][row["channel"]] = row["recipients_count"]
    keys = ("certificate_id", "name", "kind", "issuer_id", "created_at")
    return [
        {key: row[key] for key in keys} | {"as_of_date": as_of, "shares": shares[row["certificate_id"]]} | row
        for row in rows
    ]
