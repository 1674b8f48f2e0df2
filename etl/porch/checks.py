"""What `check` finds of each place that the configuration names."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from etl import deliver, extract
from etl.errors import AnalyticsError
from etl.landing import Landing
from etl.porch.house import House


def findings(house: House, now: datetime) -> Iterator[tuple[str, str, bool]]:
    """What ``check`` finds of each place that the configuration names: its name, a sentence, and whether all is well."""
    yesterday = (now - timedelta(days=1)).date()
    yield "state", "opens", True
    probes: dict[str, Callable[[], str]] = {
        "landing": lambda: _probe_landing(house.landing),
        "warehouse": lambda: _probe_warehouse(house),
        "registry": lambda: extract.probe_registry(house.settings.registry, house.lookup),
        **{
            f"sources.{name}": partial(extract.probe, source, yesterday, house.lookup)
            for name, source in house.settings.sources.items()
        },
        "mail": lambda: deliver.probe(house.settings.mail, house.lookup),
    }
    for name, probe in probes.items():
        try:
            yield name, probe(), True
        except (AnalyticsError, OSError) as error:
            yield name, str(error) or type(error).__name__, False


def _probe_landing(landing: Landing) -> str:
    path = landing.path("check")
    landing.write(path, b"check")
    landing.remove(path)
    return "can be written"


def _probe_warehouse(house: House) -> str:
    with house.warehouse():
        return "opens"
