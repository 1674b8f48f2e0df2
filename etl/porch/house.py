"""The configuration, and the places it names, opened: what every step of the porches is handed."""

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from etl import extract, normalise, state, warehouse
from etl import settings as configuration
from etl.errors import ConfigurationError
from etl.landing import Landing
from etl.settings import SecretLookup, Settings, Source


@dataclass(frozen=True)
class House:
    """The configuration, and the places it names."""

    settings: Settings
    lookup: SecretLookup
    landing: Landing
    state: state.State
    hash_key: str

    def warehouse(self) -> AbstractContextManager[warehouse.Warehouse]:
        """The warehouse, open until the block ends; keep it short where it lets one process in."""
        fingerprint = hashlib.sha256(b"fingerprint:" + self.hash_key.encode()).hexdigest()[:32]
        return warehouse.open(self.settings.warehouse, self.lookup, key_fingerprint=fingerprint)

    def waivers(self) -> list[tuple[str, date, str]]:
        """What will never come, as the stage statistics wants it."""
        return [(source, day, reason) for (source, day), reason in self.state.waivers().items()]

    def source(self, name: str) -> Source:
        """The configured source of that name; a ConfigurationError lists those that there are."""
        if name not in self.settings.sources:
            raise ConfigurationError(
                f"there is no source {name!r}; there are {', '.join(self.settings.sources) or 'none'}"
            )
        return self.settings.sources[name]


def enter(lookup: SecretLookup) -> House:
    """Reads the configuration and opens the state."""
    settings = configuration.load()
    normalise.check_formats(settings.sources)
    extract.check_sources(settings.sources)
    opened = state.open(settings.state_url, settings.state.secret, lookup)
    return House(settings, lookup, Landing(settings.landing.url), opened, opened.hash_key(settings.privacy, lookup))


def now_utc() -> datetime:
    """The porches' clock; the stages are handed instants."""
    return datetime.now(UTC)
