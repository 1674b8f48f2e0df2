"""What the command line and the DAGs share: the places that the configuration names, and the steps between two stages.

The porches decide when, and how to say what happened; here stands what is done, once.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from etl import (
    deliver,
    extract,
    load,
    normalise,
    periods,
    registry,
    state,
    statistics,
    validate,
    warehouse,
)
from etl import settings as configuration
from etl.deliver import Due
from etl.errors import (
    AnalyticsError,
    ConfigurationError,
    DeliveryError,
    DoubtfulDelivery,
    LandingError,
    ShrunkenSlice,
    SliceError,
    UnknownName,
    UnreadableFile,
)
from etl.landing import Counts, Landing, Manifest, slice_shelf
from etl.periods import Period
from etl.settings import SecretLookup, Settings, Source

SWEPT_AFTER = timedelta(days=1)
DOUBTFUL_AFTER = timedelta(hours=1)


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
    return House(
        settings, lookup, Landing(settings.landing.url), opened, opened.hash_key(settings.privacy, lookup)
    )


# The night


def pull_registry(house: House, *, from_landing: bool = False, replace: bool = False) -> Manifest:
    """Brings the registry, as it is now, into the warehouse."""
    if from_landing:
        extract.reuse_registry(house.landing)
    else:
        extract.pull_registry(house.landing, house.settings.registry, house.lookup)
    manifest = registry.normalise_registry(
        house.landing,
        house.settings.normalise,
        hash_key=house.hash_key,
        forgotten=house.state.forgotten(),
        replace=replace,
    )
    with house.warehouse() as opened:
        load.load_registry(opened, house.landing)
    house.landing.sweep("registry", before=_now() - SWEPT_AFTER)
    return manifest


def is_expected(source: Source, day: date) -> bool:
    """Whether the source covers that day."""
    return (source.since or date.min) <= day <= (source.until or date.max)


def slices_to_bring(
    house: House, names: Sequence[str] | None, first: date, last: date, *, from_landing: bool
) -> list[tuple[str, date]]:
    """The slices of some days, of the named sources, or of all that cover a day; before them what may have come late.

    Late are slices of each source's ``late_days`` before the first day that are loaded and may have more by now; none
    where the network is not asked.
    """
    sources = {name: house.source(name) for name in names or house.settings.sources}
    today = _now().date()
    late = [
        (name, day)
        for name, source in sources.items()
        for day in days(first - timedelta(days=source.late_days), first - timedelta(days=1))
        if not from_landing and extract.has_more(house.landing, name, source, day, today=today)
    ]
    asked = [(name, day) for day in days(first, last) for name in sources]
    return [(name, day) for name, day in (*late, *asked) if names or is_expected(sources[name], day)]


def extract_slice(house: House, name: str, day: date, *, from_landing: bool, replace: bool) -> None:
    """Lands a slice's raw records, or takes those that were landed before."""
    source = house.source(name)
    if from_landing:
        extract.reuse_landed(house.landing, name, day)
    else:
        today = _now().date()
        extract.extract_slice(house.landing, name, source, day, house.lookup, today=today, replace=replace)


def normalise_slice(house: House, name: str, day: date) -> None:
    """Makes events of a slice's raw records."""
    limits, source = house.settings.normalise, house.source(name)
    with _refusing(house, name, day):
        normalise.normalise_slice(house.landing, limits, name, source, day, hash_key=house.hash_key)


def validate_slice(house: House, name: str, day: date) -> None:
    """Keeps a slice out whose events are not plausible."""
    validate.validate_slice(house.landing, house.settings.validation, name, day)


def load_slice(house: House, name: str, day: date, *, replace: bool, now: datetime) -> Counts:
    """Loads a slice's events into the warehouse, and clears away the landed versions that nothing names."""
    with _refusing(house, name, day), house.warehouse() as opened:
        counts = load.load_slice(opened, house.landing, name, day, replace=replace, loaded_at=now)
    house.landing.sweep(slice_shelf(name, day), before=now - SWEPT_AFTER)
    return counts


@contextmanager
def _refusing(house: House, name: str, day: date) -> Iterator[None]:
    """Marks the version that was landed last as refused where it cannot be used: a rebuild then takes the loaded one."""
    try:
        yield
    except (UnreadableFile, ShrunkenSlice) as error:
        newest = house.landing.newest(slice_shelf(name, day))
        if newest:
            house.landing.publish(newest.model_copy(update={"status": "refused", "reason": error.reason}))
        raise


def record_failure(house: House, error: SliceError) -> None:
    """Keeps in the warehouse why a slice did not come."""
    with house.warehouse() as opened:
        load.record_failure(opened, error.source, error.day, error.reason)


def bring(
    house: House, wanted: Iterable[tuple[str, date]], *, from_landing: bool, replace: bool, now: datetime
) -> Iterator[str | AnalyticsError]:
    """Brings slices one after another into the warehouse, then the figures up to date; yields a line or the failure of each.

    A failing slice stops nothing: the others go on, what was loaded before stays. A landing that
    fails, which all of them share, stops them all.
    """
    for name, day in wanted:
        try:
            extract_slice(house, name, day, from_landing=from_landing, replace=replace)
            normalise_slice(house, name, day)
            validate_slice(house, name, day)
            counts = load_slice(house, name, day, replace=replace, now=now)
        except SliceError as error:
            record_failure(house, error)
            yield error
        except LandingError as error:
            record_failure(house, SliceError(name, day, error.reason))
            yield error
            break
        else:
            yield (
                f"{name} {day}: {counts.event} events, {counts.duplicate} duplicates,"
                f" {counts.reject} rejects, {counts.ignored} ignored"
            )
    refresh(house)


def refresh(house: House) -> None:
    """Brings the stored figures up to date with what was loaded."""
    with house.warehouse() as opened:
        statistics.refresh(opened, house.settings)


def held_slices(house: House, first: date, last: date) -> dict[tuple[str, date], dict[str, Any]]:
    """What the warehouse holds of some days: the row of ``slices`` of each source and day."""
    with house.warehouse() as opened:
        rows = statistics.slices(
            opened, house.settings, house.waivers(), last + timedelta(days=1), first=first, last=last
        )
    return {(row["source"], row["load_date"]): row for row in rows}


# The reports


@dataclass(frozen=True)
class Report:
    """One report to make: whose, of which period, and whether it goes out by the rule or was asked for by name."""

    subscription: Mapping[str, Any]
    period: Period
    is_named: bool = False

    @property
    def name(self) -> str:
        """As it is named in messages."""
        return f"{self.subscription['subscription_id']} {self.period.name}"

    @property
    def folder(self) -> Path:
        """Where its files lie below the output."""
        return Path(self.subscription["subscription_id"], self.period.name)


def due_reports(house: House, now: datetime) -> list[Due]:
    """What is due at an instant, baselines and held reports among it. Writes nothing."""
    with house.warehouse() as opened:
        subscriptions = statistics.subscriptions(opened)
        through = statistics.whole_through(opened, house.settings, house.waivers())
    return deliver.due(subscriptions, house.state, through, now, house.settings.mail)


def named_reports(
    house: House, *, subscription: str | None, period: str | None, as_of: date | None
) -> list[Report]:
    """The reports that somebody asks for: of one period by its name, or of the latest ended on or before a day.

    Without a subscription, those of every subscription whose frequency the period has.
    """
    with house.warehouse() as opened:
        known = statistics.subscriptions(opened)
    chosen = [row for row in known if subscription in (None, row["subscription_id"])]
    if subscription and not chosen:
        raise UnknownName("subscription", subscription)
    reports = [Report(row, _period(row, period, as_of), is_named=True) for row in chosen]
    return [
        report
        for report in reports
        if subscription or report.period.frequency == report.subscription["frequency"]
    ]


def _period(subscription: Mapping[str, Any], name: str | None, as_of: date | None) -> Period:
    if name:
        return periods.parse(name, subscription["timezone"])
    return periods.latest_ended_by(as_of or date.max, subscription["frequency"], subscription["timezone"])


def wanted_reports(
    house: House,
    now: datetime,
    *,
    subscription: str | None,
    period: str | None,
    as_of: date | None,
    is_sending: bool,
    tell: Callable[[str], None],
) -> list[Report]:
    """The reports to make: those named, or else those due; ``tell`` hears which are held back and which are in doubt.

    Baselines are recorded where mail is on, superseded periods where reports are about to be sent.
    """
    dues = [
        due for due in due_reports(house, now) if subscription in (None, due.subscription["subscription_id"])
    ]
    deliver.record([due for due in dues if is_sending or due.action == "baseline"], house.state, now)
    if period or as_of:
        return named_reports(house, subscription=subscription, period=period, as_of=as_of)
    for due in dues:
        if due.action == "hold":
            tell(
                f"{due.subscription['subscription_id']} {due.period.name} is held back until its days are whole; see the verb slices"
            )
    for delivery in house.state.doubtful(now - DOUBTFUL_AFTER):
        tell(
            str(
                DoubtfulDelivery(
                    f"the report {delivery.subscription_id} {delivery.period}", delivery.message_id or ""
                )
            )
        )
    return [Report(due.subscription, due.period) for due in dues if due.action == "send"]


def planned_reports(house: House, planned: Iterable[tuple[str, str]]) -> list[Report]:
    """Reports by the ids of their subscriptions and the names of their periods, as ``wanted_reports`` gave them."""
    with house.warehouse() as opened:
        known = {row["subscription_id"]: row for row in statistics.subscriptions(opened)}
    return [Report(known[name], periods.parse(period, known[name]["timezone"])) for name, period in planned]


def newly_missing(house: House, now: datetime) -> list[str]:
    """The slices that hold reports back and that nobody was told of; from now on they count as told."""
    held = [due.period for due in due_reports(house, now) if due.action == "hold"]
    if not held:
        return []
    last = max(period.end_at - timedelta.resolution for period in held).date()
    with house.warehouse() as opened:
        rows = statistics.slices(opened, house.settings, house.waivers(), now.date(), last=last)
    return [
        f"{row['source']} {row['load_date']}: {row['last_error'] or row['status']}"
        for row in rows
        if row["status"] in ("missing", "failed") and house.state.tell(row["source"], row["load_date"], now)
    ]


def land_figures(house: House, reports: Iterable[Report], today: date) -> None:
    """Lands the figures of reports: the only step of a report that opens the warehouse."""
    with house.warehouse() as opened:
        for report in reports:
            statistics.land_figures(
                opened,
                house.landing,
                house.settings,
                report.subscription,
                report.period,
                house.waivers(),
                today,
            )


def landed_figures(house: House, report: Report) -> dict[str, Any]:
    """The figures that were landed for a report."""
    return _landed(house, report.subscription["subscription_id"], report.period.name)


def _landed(house: House, subscription_id: str, period: str) -> dict[str, Any]:
    content = house.landing.read(house.landing.path("reports", subscription_id, period, "figures.json"))
    if content is None:
        raise DeliveryError(f"no figures are landed for the report {subscription_id} {period}; run reports for it")
    figures: dict[str, Any] = json.loads(content)
    return figures


def landed_report(house: House, subscription_id: str, period: str) -> Report:
    """A report whose figures are landed, with the subscription as they have it: the warehouse stays shut."""
    subscription = _landed(house, subscription_id, period)["subscription"]
    return Report(subscription, periods.parse(period, subscription["timezone"]))


def render_report(house: House, report: Report, output: Path, *, is_test: bool = False) -> Path:
    """Renders a report from its landed figures; gives the folder with its four files.

    A test carries no link that would end the reader's subscription.
    """
    from etl import render  # noqa: PLC0415  # two seconds that only this needs

    mail, link = house.settings.mail, None
    if mail.unsubscribe_url and not is_test:
        token = deliver.unsubscribe_token(report.subscription["subscription_id"], house.hash_key)
        link = mail.unsubscribe_url.format(token=token)
    options = render.MailOptions(sender=mail.sender, reply_to=mail.reply_to, unsubscribe_url=link)
    folder = output / report.folder
    render.render(landed_figures(house, report), folder, mail=options)
    return folder


def send_report(house: House, report: Report, folder: Path, *, resend: bool = False) -> bool:
    """Sends a rendered report once; True when it left now. A named one must be whole."""
    figures = landed_figures(house, report)
    if not figures["quality"]["is_whole"]:
        raise DeliveryError(
            f"the report {report.name} is not sent: its data are not whole; see the verb slices"
        )
    if report.period.frequency != report.subscription["frequency"]:
        raise DeliveryError(
            f"the report {report.name} is not sent: the subscription is {report.subscription['frequency']}"
        )
    return deliver.send(
        (folder / "message.eml").read_bytes(),
        state=house.state,
        subscription_id=report.subscription["subscription_id"],
        period=report.period,
        figures=json.dumps({name: value for name, value in figures.items() if name != "recipients"}),
        mail=house.settings.mail,
        lookup=house.lookup,
        clock=_now,
        resend=resend,
    )


def send_test(house: House, folder: Path, address: str) -> None:
    """Sends a rendered report to a tester alone."""
    deliver.send_test(
        (folder / "message.eml").read_bytes(),
        address,
        mail=house.settings.mail,
        lookup=house.lookup,
        clock=_now,
    )


def make(
    house: House, reports: Iterable[Report], output: Path | None, *, send: bool, test_to: str | None, resend: bool
) -> Iterator[str | AnalyticsError]:
    """Renders reports from their landed figures, sends them as asked; yields a line or the failure of each.

    Without an output their files are kept in the landing, beside the figures.
    """
    for report in reports:
        try:
            with tempfile.TemporaryDirectory() as scratch:
                folder = render_report(house, report, output or Path(scratch), is_test=test_to is not None)
                done = [str(folder) if output else _keep(house, report, folder)]
                if test_to:
                    send_test(house, folder, test_to)
                    done.append("sent as a test")
                if send:
                    done.append(
                        "sent" if send_report(house, report, folder, resend=resend) else "was sent before"
                    )
        except ConfigurationError:
            raise
        except AnalyticsError as error:
            yield error
        else:
            yield f"{report.name}: {', '.join(done)}"


def _keep(house: House, report: Report, folder: Path) -> str:
    kept = house.landing.path("reports", *report.folder.parts)
    for file in folder.iterdir():
        house.landing.write(f"{kept}/{file.name}", file.read_bytes())
    return house.landing.shown(kept)


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
    landing.filesystem.rm(path)
    return "can be written"


def _probe_warehouse(house: House) -> str:
    with house.warehouse():
        return "opens"


def days(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last, both included."""
    return (date.fromordinal(ordinal) for ordinal in range(first.toordinal(), last.toordinal() + 1))


def _now() -> datetime:
    return datetime.now(UTC)
