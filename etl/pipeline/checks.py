"""Check that each place named in the configuration can be used."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from etl import deliver, extract
from etl.errors import AnalyticsError
from etl.landing import Landing
from etl.pipeline.context import Context


def findings(context: Context, now: datetime) -> Iterator[tuple[str, str, bool]]:
    """Yield the name of each place, a sentence with the finding, and whether the place can be used."""
    yesterday = (now - timedelta(days=1)).date()
    yield "state", "opens", True
    probes: dict[str, Callable[[], str]] = {
        "landing": lambda: _probe_landing(context.landing),
        "warehouse": lambda: _probe_warehouse(context),
        "registry": lambda: extract.probe_registry(context.settings.registry, context.lookup),
        **{
            f"sources.{name}": partial(extract.probe, source, yesterday, context.lookup)
            for name, source in context.settings.sources.items()
        },
        "mail": lambda: deliver.probe(context.settings.mail, context.lookup),
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


def _probe_warehouse(context: Context) -> str:
    with context.warehouse():
        return "opens"
