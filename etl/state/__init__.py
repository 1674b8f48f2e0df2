"""The state: the small database of what cannot be rebuilt. Back it up.

``deliveries`` is the ledger: at most one row per subscription and period, with the figures as sent. The other tables hold
unsubscribes, refused addresses, waivers, forgotten recipients, the missing slices that were reported, and the hash key. Use
SQLite on one host and PostgreSQL for several. Instants are aware: callers pass them in any zone and get them in UTC.
"""

import fcntl
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

from etl import settings
from etl.errors import ConfigurationError, StateError, refusal_of
from etl.periods import Period
from etl.state import tables

Status = Literal["baseline", "superseded", "quiet", "claimed", "deferred", "sent", "failed"]
"""The status of a period in the ledger.

``baseline`` and ``superseded`` periods are not sent automatically. In a ``quiet`` one nothing was new: a short mail was sent,
or none where it has no Message-ID, and the report before stays the one that was sent last. A ``claimed`` one is being sent, or
in doubt: it is in doubt once it has an end (``completed_at``), or when no attempt can last so long. A ``deferred`` one was
refused for now, and the next run tries again. The others are ``sent``, or ``failed``: refused for good.
"""

_LOCK_FILES = 256
"""Lock files beside a SQLite database. Two names that share one wait for each other without need, which is rare."""

_UNSENT = ("baseline", "superseded", "deferred")

# The upsert is the same in SQLite and PostgreSQL, but SQLAlchemy has one construct for each.
_INSERTS: dict[str, Callable[[sa.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True)
class Delivery:
    """One row of the ledger, without its figures."""

    subscription_id: str
    period: str
    period_end: datetime
    status: Status
    message_id: str | None
    claimed_at: datetime | None
    completed_at: datetime | None
    attempts: int
    error: str | None


@dataclass(frozen=True)
class Refusal:
    """An address that a mail server refused for good: when, in which words, and for which subscription's report."""

    subscription_id: str
    reply: str
    refused_at: datetime


_DELIVERY = tables.DELIVERIES.columns
_ROW = [column for column in _DELIVERY if column.name != "figures"]


def open(url: str, secret: str | None, lookup: settings.SecretLookup) -> "State":
    """Open the state behind a SQLite or PostgreSQL URL. Create the tables that are missing.

    Raise a ConfigurationError for any other URL, and a StateError where the database cannot be reached.
    """
    full = settings.with_password(url, secret, lookup)
    # SQLite allows one writer at a time. The others wait for so many seconds, then fail.
    arguments = {"timeout": 60} if url.startswith("sqlite") else {}
    try:
        # Without a pool a connection lasts one transaction, so a forked worker never inherits one.
        engine = sa.create_engine(full, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError, ValueError):
        raise ConfigurationError("[state] url is no database's; write sqlite:////path/state.db") from None
    if engine.dialect.name not in _INSERTS:
        raise ConfigurationError("[state] url must begin with sqlite:/// or postgresql+psycopg://")
    return State(engine)


class State:
    """The ledger of deliveries, and the other facts that a rebuilt warehouse would not have."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._insert = _INSERTS[engine.dialect.name]
        self._locked: set[str] = set()
        self._create_tables()

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock of that name until the block ends; wait while another process holds it.

        Within the block the same name may be locked again, and no other. The operating system, or PostgreSQL, releases the
        lock when its process ends, however it ends.
        """
        if name in self._locked:
            yield
            return
        with self._exclusive_lock(name):
            self._locked.add(name)
            try:
                yield
            finally:
                self._locked.remove(name)

    @contextmanager
    def _exclusive_lock(self, name: str) -> Iterator[None]:
        if self.engine.dialect.name == "postgresql":
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(sa.text("SELECT pg_advisory_lock(hashtextextended(:name, 0))"), {"name": name})
                yield
        elif self.engine.url.database:
            folder = Path(f"{self.engine.url.database}.locks")
            folder.mkdir(exist_ok=True)
            with (folder / f"{crc32(name.encode()) % _LOCK_FILES}").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        else:  # a database in memory, which is one process's own
            yield

    # The ledger of deliveries

    def claim(
        self,
        subscription_id: str,
        period: Period,
        *,
        message_id: str,
        figures: str,
        at: datetime,
        takes_over: str | None = None,
        killed_before: datetime | None = None,
    ) -> str | None:
        """Claim the right to send a period; return the Message-ID to send under, or None where it must not be sent.

        The claim is one statement, so that only one of several claimers gets it. The Message-ID is that of an earlier,
        deferred attempt where there is one, else the new one. None means that the period was sent, failed for good, or is
        claimed by another process. A resend claims such a row by its Message-ID, ``takes_over``. The claim changes the
        Message-ID, so a second resend with the same ``takes_over`` gets None. A claim that has no end and was not made
        before ``killed_before`` may be at work, and is not taken over.
        """
        new = self._insert(tables.DELIVERIES).values(
            **_row(subscription_id, period, "claimed"),
            message_id=message_id,
            figures=figures,
            claimed_at=at,
            attempts=1,
        )
        is_free = (_DELIVERY.status != "claimed") | _is_in_doubt(killed_before or at + timedelta.resolution)
        is_skipped = (_DELIVERY.status == "quiet") & _DELIVERY.message_id.is_(None)
        deferred = sa.case((_DELIVERY.status == "deferred", _DELIVERY.message_id))
        statement = new.on_conflict_do_update(
            index_elements=tables.DELIVERIES.primary_key.columns,
            set_={
                **{name: new.excluded[name] for name in ("period_end", "status", "figures", "claimed_at")},
                "message_id": sa.func.coalesce(deferred, message_id),
                "attempts": _DELIVERY.attempts + 1,
                "completed_at": None,
                "error": None,
            },
            where=_DELIVERY.status.in_(_UNSENT) | is_skipped | ((_DELIVERY.message_id == takes_over) & is_free),
        ).returning(_DELIVERY.message_id)
        with self._transaction() as connection:
            return connection.execute(statement).scalar()

    def finish(
        self,
        subscription_id: str,
        period: Period,
        status: Literal["claimed", "sent", "quiet", "deferred", "failed"],
        *,
        message_id: str,
        at: datetime,
        error: str | None = None,
    ) -> None:
        """Record the end of a claimed delivery. Change nothing where a resend has taken the claim over.

        A delivery that ended in doubt stays ``claimed``, with the time of its end.
        """
        claimed = _is(subscription_id, period.name) & (_DELIVERY.message_id == message_id)
        ended = sa.update(tables.DELIVERIES).where(claimed).values(status=status, completed_at=at, error=error)
        with self._transaction() as connection:
            connection.execute(ended)

    def record(
        self,
        subscription_id: str,
        periods: Iterable[Period],
        status: Literal["baseline", "superseded", "quiet"],
        at: datetime,
    ) -> None:
        """Record periods that are not sent automatically. Existing rows stay as they are, except deferred ones."""
        others = {"completed_at": at, "attempts": 0}
        rows = [_row(subscription_id, period, status) | others for period in periods]
        new = self._insert(tables.DELIVERIES)
        statement = new.on_conflict_do_update(
            index_elements=tables.DELIVERIES.primary_key.columns,
            set_={name: new.excluded[name] for name in ("status", "completed_at")},
            where=_DELIVERY.status == "deferred",
        )
        if rows:
            with self._transaction() as connection:
                connection.execute(statement, rows)

    def delivery(self, subscription_id: str, period: str) -> Delivery | None:
        """Return the ledger's row of a subscription and period, or None."""
        found = self._deliveries(_is(subscription_id, period))
        return found[0] if found else None

    def newest(self) -> dict[str, Delivery]:
        """Return the row with the latest period of each subscription. Deferred rows do not count: they are still to be sent."""
        subscription, end, settled = _DELIVERY.subscription_id, _DELIVERY.period_end, _DELIVERY.status != "deferred"
        ends = sa.select(subscription, sa.func.max(end)).where(settled).group_by(subscription)
        rows = self._deliveries(settled & sa.tuple_(subscription, end).in_(ends))
        return {delivery.subscription_id: delivery for delivery in rows}

    def doubtful(self, claimed_before: datetime) -> list[Delivery]:
        """Return the deliveries that may have been sent or not: those that ended so, and those without an end.

        One without an end that was not claimed before that instant does not count: it may be at work.
        """
        return self._deliveries(_is_in_doubt(claimed_before))

    def last_sent(self, subscription_id: str, before: Period) -> tuple[str, str] | None:
        """Return name and figures (JSON text) of the latest sent period that ended before the end of another, or None.

        If a subscription moved west, the same period ends later today than when it was sent. It is not before itself.
        """
        row = _DELIVERY
        is_earlier = (row.period_end < before.end_at) & (row.period != before.name)
        wanted = (row.subscription_id == subscription_id) & (row.status == "sent") & is_earlier
        statement = sa.select(row.period, row.figures).where(wanted).order_by(row.period_end.desc()).limit(1)
        with self._transaction() as connection:
            found = connection.execute(statement).first()
        return (found.period, found.figures) if found else None

    # The other facts

    def unsubscribe(self, subscription_id: str, at: datetime) -> None:
        """End the mails of a subscription. A second call changes nothing."""
        self._add(tables.UNSUBSCRIBES, subscription_id=subscription_id, unsubscribed_at=at)

    def unsubscribed(self) -> set[str]:
        """Return the ids of the subscriptions that must get no mail."""
        return {row.subscription_id for row in self._all(tables.UNSUBSCRIBES)}

    def refuse_address(self, address_key: str, refusal: Refusal) -> None:
        """Record that a mail server refused an address for good. A second call changes nothing."""
        self._add(tables.REFUSED_ADDRESSES, address_key=address_key, **vars(refusal))

    def accept_address(self, address_key: str) -> None:
        """Record that a mail server took a message to an address, so that it is written to again."""
        table = tables.REFUSED_ADDRESSES
        with self._transaction() as connection:
            connection.execute(sa.delete(table).where(table.columns.address_key == address_key))

    def refused_addresses(self) -> dict[str, Refusal]:
        """Return the addresses that must get no mail, by their keyed hashes."""
        rows = self._all(tables.REFUSED_ADDRESSES)
        return {row.address_key: Refusal(row.subscription_id, row.reply, row.refused_at) for row in rows}

    def waive(self, source: str, day: date, reason: str, at: datetime) -> None:
        """Record that a slice will never come, and why. A second call replaces the reason."""
        new = self._insert(tables.WAIVERS).values(source=source, day=day, reason=reason, waived_at=at)
        statement = new.on_conflict_do_update(
            index_elements=tables.WAIVERS.primary_key.columns, set_={"reason": reason, "waived_at": at}
        )
        with self._transaction() as connection:
            connection.execute(statement)

    def undo_waiver(self, source: str, day: date) -> bool:
        """Remove the waiver of a slice; return whether there was one."""
        waiver = tables.WAIVERS.columns
        statement = sa.delete(tables.WAIVERS).where((waiver.source == source) & (waiver.day == day))
        with self._transaction() as connection:
            return connection.execute(statement).rowcount > 0

    def waivers(self) -> dict[tuple[str, date], str]:
        """Return the reason of each waived slice, by source and day."""
        return {(row.source, row.day): row.reason for row in self._all(tables.WAIVERS)}

    def forget(self, recipient_id: str, at: datetime) -> None:
        """Record that a recipient was erased and must not be loaded again. A second call changes nothing."""
        self._add(tables.FORGOTTEN, recipient_id=recipient_id, forgotten_at=at)

    def forgotten(self) -> set[str]:
        """Return the ids of the erased recipients, which every pull of the registry skips."""
        return {row.recipient_id for row in self._all(tables.FORGOTTEN)}

    def mark_reported(self, source: str, day: date, at: datetime) -> bool:
        """Record that a slice was reported as missing; return True the first time only."""
        return self._add(tables.REPORTED_SLICES, source=source, day=day, reported_at=at)

    def alerted(self) -> set[str]:
        """Return the causes that were alerted and are not over yet."""
        return {row.cause for row in self._all(tables.ALERTS)}

    def record_alerts(self, causes: Collection[str], over: Collection[str], at: datetime) -> None:
        """Record which causes were alerted, and which are over."""
        rows = [{"cause": cause, "told_at": at} for cause in sorted(causes)]
        with self._transaction() as connection:
            if rows:
                connection.execute(self._insert(tables.ALERTS).on_conflict_do_nothing(), rows)
            connection.execute(sa.delete(tables.ALERTS).where(tables.ALERTS.columns.cause.in_(sorted(over))))

    def hash_key(self, privacy: settings.Privacy, lookup: settings.SecretLookup) -> str:
        """Return the key of the hashes of addresses: the configured secret, else a key that is made once and stored here."""
        if privacy.secret:
            return settings.require(privacy.secret, lookup)
        rows = self._all(tables.PRIVACY)
        if not rows:
            # 128 bits in 22 characters: key and address mostly fit one block of SHA-256. A longer key would need two.
            self._add(tables.PRIVACY, purpose="addresses", hash_key=secrets.token_urlsafe(16))
            rows = self._all(tables.PRIVACY)  # another process may have been first
        return str(rows[0].hash_key)

    # Access to the database

    def _create_tables(self) -> None:
        for repeat in (True, False):
            try:
                with self.engine.begin() as connection:
                    for table in tables.ALL.sorted_tables:
                        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
                return
            except sa.exc.DBAPIError as error:
                # Where two processes create a table at once, PostgreSQL fails the second; then the table exists.
                if not (repeat and isinstance(error, sa.exc.IntegrityError | sa.exc.ProgrammingError)):
                    raise self._unusable(error) from None

    def _add(self, table: sa.Table, **values: Any) -> bool:
        statement = self._insert(table).values(**values).on_conflict_do_nothing().returning(sa.literal(1))
        with self._transaction() as connection:
            return connection.execute(statement).first() is not None

    def _all(self, table: sa.Table) -> list[Any]:
        with self._transaction() as connection:
            return list(connection.execute(sa.select(table)))

    def _deliveries(self, wanted: sa.ColumnElement[bool]) -> list[Delivery]:
        statement = sa.select(*_ROW).where(wanted).order_by(_DELIVERY.period_end, _DELIVERY.subscription_id)
        with self._transaction() as connection:
            return [Delivery(**row) for row in connection.execute(statement).mappings()]

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: sa.exc.DBAPIError) -> StateError:
        url = self.engine.url
        return StateError(url.render_as_string(hide_password=True), refusal_of(error, url.password))


def _row(subscription_id: str, period: Period, status: Status) -> dict[str, Any]:
    return {
        "subscription_id": subscription_id,
        "period": period.name,
        "period_end": period.end_at,
        "status": status,
    }


def _is(subscription_id: str, period: str) -> sa.ColumnElement[bool]:
    return (_DELIVERY.subscription_id == subscription_id) & (_DELIVERY.period == period)


def _is_in_doubt(claimed_before: datetime) -> sa.ColumnElement[bool]:
    """Tell of claims whether they ended in doubt, or were made so early that their run must have been killed."""
    has_no_sender = _DELIVERY.completed_at.is_not(None) | (_DELIVERY.claimed_at < claimed_before)
    return (_DELIVERY.status == "claimed") & has_no_sender
