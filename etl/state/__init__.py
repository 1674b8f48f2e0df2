"""The state: the small database of what cannot be rebuilt. Back it up.

``deliveries`` is the ledger: one row at most per subscription and period, with the figures as sent.
Beside it lie unsubscribes, waivers, forgotten recipients, the slices whose absence was told, the hash key.
SQLite on one host, PostgreSQL for several. Instants are handed in, aware, and come back in UTC.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

from etl import settings
from etl.errors import ConfigurationError, StateError
from etl.periods import Period
from etl.state import tables

Status = Literal["baseline", "superseded", "claimed", "deferred", "sent", "failed"]
"""What the ledger knows of a period: not sent by itself (baseline, superseded), being sent or in doubt
(claimed), refused for now and tried again by the next run (deferred), sent, or refused for good (failed)."""

_UNSENT = ("baseline", "superseded", "deferred")

# SQLite and PostgreSQL write the same upsert, of which SQLAlchemy has one construct for each.
_INSERTS: dict[str, Callable[[sa.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True)
class Delivery:
    """One row of the ledger, but for its figures."""

    subscription_id: str
    period: str
    period_end: datetime
    status: Status
    message_id: str | None
    claimed_at: datetime | None
    completed_at: datetime | None
    attempts: int
    error: str | None


_DELIVERY = tables.DELIVERIES.columns
_ROW = [column for column in _DELIVERY if column.name != "figures"]


def open(url: str, secret: str | None, lookup: settings.SecretLookup) -> "State":
    """The state behind a SQLite or PostgreSQL URL, its tables created where missing.

    ConfigurationError for another kind of URL, StateError where the database cannot be reached.
    """
    full = settings.with_password(url, secret, lookup)
    # SQLite lets one writer in at a time; the others wait for so many seconds.
    patience = {"timeout": 60} if url.startswith("sqlite") else {}
    try:
        # No pool: a connection lasts one transaction, so that a forked worker never inherits one.
        engine = sa.create_engine(full, poolclass=NullPool, hide_parameters=True, connect_args=patience)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError):
        raise ConfigurationError("[state] url is no database's; write sqlite:////path/state.db") from None
    if engine.dialect.name not in _INSERTS:
        raise ConfigurationError("[state] url must begin with sqlite:/// or postgresql+psycopg://")
    return State(engine)


class State:
    """The ledger of deliveries and the other facts that must outlive the warehouse."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._insert = _INSERTS[engine.dialect.name]
        self._create_tables()

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
    ) -> str | None:
        """Takes the right to send a period, in one statement that only one of several claimers wins.

        Gives the Message-ID to send under: that of an earlier, deferred attempt if any, else the new one.
        None where the period was sent, failed for good, or is in another's hands; a resend ``takes_over``
        such a row by its Message-ID, which a second resend does not find any more.
        """
        new = self._insert(tables.DELIVERIES).values(
            **_row(subscription_id, period, "claimed"),
            message_id=message_id,
            figures=figures,
            claimed_at=at,
            attempts=1,
        )
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
            where=_DELIVERY.status.in_(_UNSENT) | (_DELIVERY.message_id == takes_over),
        ).returning(_DELIVERY.message_id)
        with self._transaction() as connection:
            return connection.execute(statement).scalar()

    def finish(
        self,
        subscription_id: str,
        period: Period,
        status: Literal["sent", "deferred", "failed"],
        *,
        message_id: str,
        at: datetime,
        error: str | None = None,
    ) -> None:
        """Records how a claimed delivery ended; a claim that a resend took over is the new claimer's."""
        mine = _is(subscription_id, period.name) & (_DELIVERY.message_id == message_id)
        ended = sa.update(tables.DELIVERIES).where(mine).values(status=status, completed_at=at, error=error)
        with self._transaction() as connection:
            connection.execute(ended)

    def record(
        self,
        subscription_id: str,
        periods: Iterable[Period],
        status: Literal["baseline", "superseded"],
        at: datetime,
    ) -> None:
        """Records periods that are not sent by themselves; rows that are there stay, but deferred ones."""
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
        """The ledger's row of a subscription and period, if any."""
        found = self._deliveries(_is(subscription_id, period))
        return found[0] if found else None

    def newest(self) -> dict[str, Delivery]:
        """The row of each subscription whose period ended last; deferred ones, still to be sent, aside."""
        whose, end, settled = _DELIVERY.subscription_id, _DELIVERY.period_end, _DELIVERY.status != "deferred"
        ends = sa.select(whose, sa.func.max(end)).where(settled).group_by(whose)
        rows = self._deliveries(settled & sa.tuple_(whose, end).in_(ends))
        return {delivery.subscription_id: delivery for delivery in rows}

    def doubtful(self, claimed_before: datetime) -> list[Delivery]:
        """Deliveries claimed before an instant and never completed: nobody knows whether they left."""
        return self._deliveries((_DELIVERY.status == "claimed") & (_DELIVERY.claimed_at < claimed_before))

    def last_sent(self, subscription_id: str, before: datetime) -> tuple[str, str] | None:
        """Name and figures (JSON text) of the newest period sent that ended before an instant."""
        row = _DELIVERY
        wanted = (row.subscription_id == subscription_id) & (row.status == "sent") & (row.period_end < before)
        statement = sa.select(row.period, row.figures).where(wanted).order_by(row.period_end.desc()).limit(1)
        with self._transaction() as connection:
            found = connection.execute(statement).first()
        return (found.period, found.figures) if found else None

    # The other facts

    def unsubscribe(self, subscription_id: str, at: datetime) -> None:
        """Ends a subscription's mails; a second time changes nothing."""
        self._add(tables.UNSUBSCRIBES, subscription_id=subscription_id, unsubscribed_at=at)

    def unsubscribed(self) -> set[str]:
        """The ids of the subscriptions that must get no mail."""
        return {row.subscription_id for row in self._all(tables.UNSUBSCRIBES)}

    def waive(self, source: str, day: date, reason: str, at: datetime) -> None:
        """Says that a slice will never come and why; a second time corrects the reason."""
        new = self._insert(tables.WAIVERS).values(source=source, day=day, reason=reason, waived_at=at)
        statement = new.on_conflict_do_update(
            index_elements=tables.WAIVERS.primary_key.columns, set_={"reason": reason, "waived_at": at}
        )
        with self._transaction() as connection:
            connection.execute(statement)

    def waivers(self) -> dict[tuple[str, date], str]:
        """The reason of each waived (source, day)."""
        return {(row.source, row.day): row.reason for row in self._all(tables.WAIVERS)}

    def forget(self, recipient_id: str, at: datetime) -> None:
        """Says that a recipient was erased and must stay so; a second time changes nothing."""
        self._add(tables.FORGOTTEN, recipient_id=recipient_id, forgotten_at=at)

    def forgotten(self) -> set[str]:
        """The ids of the recipients that pulls and loads skip."""
        return {row.recipient_id for row in self._all(tables.FORGOTTEN)}

    def mark_reported(self, source: str, day: date, at: datetime) -> bool:
        """Record that the absence of a slice was reported; return True the first time only."""
        return self._add(tables.REPORTED_SLICES, source=source, day=day, reported_at=at)

    def hash_key(self, privacy: settings.Privacy, lookup: settings.SecretLookup) -> str:
        """The key of the hashes of addresses: the configured secret, else one made once and kept here."""
        if privacy.secret:
            return settings.require(privacy.secret, lookup)
        rows = self._all(tables.PRIVACY)
        if not rows:
            # 128 bits in few letters: with most addresses they fill one block of SHA-256, where more would need two.
            self._add(tables.PRIVACY, purpose="addresses", hash_key=secrets.token_urlsafe(16))
            rows = self._all(tables.PRIVACY)  # another process may have been first
        return str(rows[0].hash_key)

    # How the database is spoken to

    def _create_tables(self) -> None:
        for repeat in (True, False):
            try:
                with self._engine.begin() as connection:
                    for table in tables.ALL.sorted_tables:
                        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
                return
            except sa.exc.DBAPIError as error:
                # PostgreSQL fails the second of two that create a table at once; by then it is there.
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
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: sa.exc.DBAPIError) -> StateError:
        reason = str(error.orig).strip().split("\n")[0]
        return StateError(self._engine.url.render_as_string(hide_password=True), reason)


def _row(subscription_id: str, period: Period, status: Status) -> dict[str, Any]:
    return {
        "subscription_id": subscription_id,
        "period": period.name,
        "period_end": period.end_at,
        "status": status,
    }


def _is(subscription_id: str, period: str) -> sa.ColumnElement[bool]:
    return (_DELIVERY.subscription_id == subscription_id) & (_DELIVERY.period == period)
