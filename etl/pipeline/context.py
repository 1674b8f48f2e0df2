"""The context: the configuration, the landing, the state and the warehouse. Every step of the pipeline gets it."""

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from etl import extract, normalise, scratch, state, warehouse
from etl import settings as configuration
from etl.errors import ConfigurationError
from etl.landing import Landing
from etl.normalise import FORMATS
from etl.settings import SecretLookup, Settings, Source

Notify = Callable[[str, str, str], None]
"""Send an alert: the id of the connection, the subject and the text. Raise an UnsentAlert if that fails."""


@dataclass(frozen=True)
class Context:
    """The configuration, and the stores that it names.

    ``lookup`` returns secrets, ``hash_key`` is the key of the hashes of addresses. ``notify`` sends an alert through a
    connection of Airflow's; outside Airflow there is none.
    """

    settings: Settings
    lookup: SecretLookup
    landing: Landing
    state: state.State
    hash_key: str
    notify: Notify | None = None

    def warehouse(self) -> AbstractContextManager[warehouse.Warehouse]:
        """Open the warehouse until the block ends. Keep the block short: DuckDB allows one process at a time."""
        fingerprint = normalise.fingerprint_of_key(self.hash_key)
        stores = warehouse.Stores(self.landing, self.state.engine)
        return warehouse.open(self.settings.warehouse, self.lookup, key_fingerprint=fingerprint, stores=stores)

    def waivers(self) -> list[tuple[str, date, str]]:
        """Return source, day and reason of each waived slice."""
        return [(source, day, reason) for (source, day), reason in self.state.waivers().items()]

    def mail_sources(self) -> set[str]:
        """Return the names of the sources that are mail logs, not access logs."""
        return {name for name, source in self.settings.sources.items() if not FORMATS[source.format].is_pixel}

    def source(self, name: str) -> Source:
        """Return the configured source of that name; raise a ConfigurationError that lists the known ones."""
        if name not in self.settings.sources:
            raise ConfigurationError(
                f"there is no source {name!r}; there are {', '.join(self.settings.sources) or 'none'}"
            )
        return self.settings.sources[name]


_TALKATIVE = ("great_expectations", "weasyprint.progress", "fontTools")
"""Libraries that log every step: hundreds of lines, among which ours could not be found."""


def start_process() -> None:
    """Prepare a process of ours: files that it makes are for their owner only, and leftovers of killed ones are removed.

    Of libraries that log every step only warnings are heard.
    """
    os.umask(0o077)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    scratch.sweep()


def open_context(lookup: SecretLookup, notify: Notify | None = None) -> Context:
    """Read and check the configuration, open the state, and return the context."""
    settings = configuration.load()
    normalise.check_formats(settings.sources)
    extract.check_sources(settings.sources)
    opened = state.open(settings.state_url, settings.state.secret, lookup)
    hash_key = opened.hash_key(settings.privacy, lookup)
    return Context(settings, lookup, Landing(settings.landing.url), opened, hash_key, notify)


def now_utc() -> datetime:
    """Return the current instant. Stages never call this: they get the instant as an argument."""
    return datetime.now(UTC)
