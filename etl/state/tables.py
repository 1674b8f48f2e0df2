"""The state's tables, the same in SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa


class Instant(sa.types.TypeDecorator[datetime]):
    """A naive UTC timestamp in the database, an aware one in Python."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Convert an aware instant for the database."""
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Convert a timestamp of the database to an aware instant."""
        return value and value.replace(tzinfo=UTC)


def _key(name: str, kind: type[sa.types.TypeEngine[Any]] = sa.String) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True)


def _instant(name: str) -> sa.Column[Any]:
    return sa.Column(name, Instant, nullable=False)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False)


ALL = sa.MetaData()

DELIVERIES = sa.Table(
    "deliveries",
    ALL,
    _key("subscription_id"),
    _key("period"),  # the name of the period: 2026-11, 2026-W47 or 2026-11-23
    _instant("period_end"),  # the first instant after the period
    _text("status"),
    sa.Column("message_id", sa.Text),
    sa.Column("claimed_at", Instant),
    sa.Column("completed_at", Instant),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),  # without addresses
    sa.Column("figures", sa.Text),  # the JSON text as sent
)
UNSUBSCRIBES = sa.Table("unsubscribes", ALL, _key("subscription_id"), _instant("unsubscribed_at"))
REFUSED_ADDRESSES = sa.Table(
    "refused_addresses",
    ALL,
    _key("address_key"),  # the keyed hash of a subscriber's address
    _text("subscription_id"),  # whose report was refused
    _text("reply"),  # the server's, without addresses
    _instant("refused_at"),
)
WAIVERS = sa.Table("waivers", ALL, _key("source"), _key("day", sa.Date), _text("reason"), _instant("waived_at"))
FORGOTTEN = sa.Table("forgotten", ALL, _key("recipient_id"), _instant("forgotten_at"))
REPORTED_SLICES = sa.Table("reported_slices", ALL, _key("source"), _key("day", sa.Date), _instant("reported_at"))
ALERTS = sa.Table("alerts", ALL, _key("cause"), _instant("told_at"))
PRIVACY = sa.Table("privacy", ALL, _key("purpose"), _text("hash_key"))
