"""Which landed versions the warehouse holds, for an engine without tables: two tables in the database of the state.

They follow from the landing, as all of the warehouse does. To empty such a warehouse is to drop them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Row = dict[str, Any]

_METADATA = sa.MetaData()
_COUNTS = ("raw_count", "event_count", "reject_count", "ignored_count", "duplicate_count")

SLICES = sa.Table(
    "warehouse_slices",
    _METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("load_date", sa.Date, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("last_error", sa.Text),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
    sa.Column("loaded_at", sa.DateTime),
    sa.Column("version", sa.Text),
    sa.Column("events_path", sa.Text),
    sa.Column("landed_count", sa.BigInteger),
)
"""The table ``slices``, with the path of the loaded events below the landing and the number of their rows."""

FACTS = sa.Table(
    "warehouse_facts",
    _METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
"""What the warehouse holds besides slices: where the registry and the stored figures are, and what they were made from."""

_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Versions:
    """The loaded versions. Every change is one transaction, and every read is one statement: old or new, never half."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._insert = _INSERTS[engine.dialect.name]
        for repeat in (True, False):
            try:
                with engine.begin() as connection:
                    for table in _METADATA.sorted_tables:
                        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
                # Where two processes create a table at once, PostgreSQL fails the second; then the table exists.
                if not repeat:
                    raise
            else:
                break

    def slices(self) -> list[Row]:
        """Return every slice."""
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.select(SLICES)).mappings()]

    def facts(self) -> dict[str, str]:
        """Return every fact by its name."""
        with self._engine.connect() as connection:
            return {row.name: row.value for row in connection.execute(sa.select(FACTS))}

    def replace_slices(self, rows: Sequence[Row]) -> None:
        """Replace the rows of some slices, all or none. A column that a row does not give keeps its value."""
        with self._engine.begin() as connection:
            for row in rows:
                new = self._insert(SLICES).values(**row)
                given = {name: new.excluded[name] for name in row}
                connection.execute(new.on_conflict_do_update(index_elements=SLICES.primary_key.columns, set_=given))

    def replace_facts(self, facts: Mapping[str, str]) -> None:
        """Replace some facts, all or none."""
        with self._engine.begin() as connection:
            for name, value in facts.items():
                new = self._insert(FACTS).values(name=name, value=value)
                changed = {"value": new.excluded.value}
                connection.execute(new.on_conflict_do_update(index_elements=FACTS.primary_key.columns, set_=changed))

    def swap_fact(self, name: str, former: str | None, value: str) -> bool:
        """Replace a fact where it still has its former value (None: it is not there); tell whether it was replaced."""
        if former is None:
            statement = self._insert(FACTS).values(name=name, value=value).on_conflict_do_nothing()
        else:
            is_former = (FACTS.c.name == name) & (FACTS.c.value == former)
            statement = sa.update(FACTS).where(is_former).values(value=value)
        with self._engine.begin() as connection:
            return connection.execute(statement.returning(sa.literal(1))).first() is not None
