"""The steps of a report: which are wanted, their figures, their files, their mails."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from etl import deliver, periods, statistics
from etl.deliver import Due
from etl.errors import AnalyticsError, ConfigurationError, DeliveryError, DoubtfulDelivery, UnknownName
from etl.periods import Period
from etl.porch.house import House, now_utc
from etl.porch.nights import is_expected

DOUBTFUL_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Report:
    """One report to make: whose, and of which period."""

    subscription: Mapping[str, Any]
    period: Period

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


def named_reports(house: House, *, subscription: str | None, period: str | None, as_of: date | None) -> list[Report]:
    """The reports that somebody asks for: of one period by its name, or of the latest ended on or before a day.

    Without a subscription, those of every subscription whose frequency the period has, but for the paused.
    """
    with house.warehouse() as opened:
        known = statistics.subscriptions(opened)
    chosen = [row for row in known if subscription == row["subscription_id"] or not (subscription or row["is_paused"])]
    if subscription and not chosen:
        raise UnknownName("subscription", subscription)
    reports = [Report(row, _period(row, period, as_of)) for row in chosen]
    return [report for report in reports if subscription or report.period.frequency == report.subscription["frequency"]]


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
    dues = [due for due in due_reports(house, now) if subscription in (None, due.subscription["subscription_id"])]
    deliver.record([due for due in dues if is_sending or due.action == "baseline"], house.state, now)
    if period or as_of:
        return named_reports(house, subscription=subscription, period=period, as_of=as_of)
    for due in dues:
        if due.action == "hold":
            tell(
                f"{due.subscription['subscription_id']} {due.period.name} is held back until its days are whole;"
                " see the verb slices"
            )
    for delivery in house.state.doubtful(now - DOUBTFUL_AFTER):
        tell(
            str(DoubtfulDelivery(f"the report {delivery.subscription_id} {delivery.period}", delivery.message_id or ""))
        )
    return [Report(due.subscription, due.period) for due in dues if due.action == "send"]


def planned_reports(house: House, planned: Iterable[tuple[str, str]]) -> list[Report]:
    """Reports by the ids of their subscriptions and the names of their periods, as ``wanted_reports`` gave them.

    Whoever left the registry since then gets none.
    """
    with house.warehouse() as opened:
        known = {row["subscription_id"]: row for row in statistics.subscriptions(opened)}
    return [
        Report(known[name], periods.parse(period, known[name]["timezone"])) for name, period in planned if name in known
    ]


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
        if row["status"] in ("missing", "failed")
        and row["source"] in house.settings.sources
        and is_expected(house.source(row["source"]), row["load_date"])
        and house.state.tell(row["source"], row["load_date"], now)
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


def _render(house: House, report: Report, figures: dict[str, Any], output: Path, *, is_test: bool) -> Path:
    """Renders a report; gives the folder with its four files.

    A test carries no link that would end the reader's subscription.
    """
    from etl import render  # noqa: PLC0415  # two seconds that only this needs

    mail, link = house.settings.mail, None
    if mail.unsubscribe_url and not is_test:
        token = deliver.unsubscribe_token(report.subscription["subscription_id"], house.hash_key)
        link = mail.unsubscribe_url.format(token=token)
    options = render.MailOptions(sender=mail.sender, reply_to=mail.reply_to, unsubscribe_url=link)
    folder = output / report.folder
    render.render(figures, folder, mail=options)
    return folder


def _send(house: House, report: Report, figures: dict[str, Any], folder: Path, *, resend: bool) -> bool:
    """Sends a rendered report once; True when it left now. A named one must be whole."""
    if not figures["quality"]["is_whole"]:
        raise DeliveryError(f"the report {report.name} is not sent: its data are not whole; see the verb slices")
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
        clock=now_utc,
        resend=resend,
    )


def _send_test(house: House, folder: Path, address: str) -> None:
    """Sends a rendered report to a tester alone."""
    deliver.send_test(
        (folder / "message.eml").read_bytes(),
        address,
        mail=house.settings.mail,
        lookup=house.lookup,
        clock=now_utc,
    )


def make(
    house: House, reports: Iterable[Report], output: Path | None, *, send: bool, test_to: str | None, resend: bool
) -> Iterator[str | AnalyticsError]:
    """Renders reports from their landed figures, sends them as asked; yields a line or the failure of each.

    Without an output their files are kept in the landing, beside the figures.
    """
    for report in reports:
        try:
            # Read once: what the ledger keeps is what was rendered, though somebody lands them anew meanwhile.
            figures = _landed(house, report.subscription["subscription_id"], report.period.name)
            with tempfile.TemporaryDirectory() as scratch:
                folder = _render(house, report, figures, output or Path(scratch), is_test=test_to is not None)
                done = [str(folder) if output else _keep(house, report, folder)]
                if test_to:
                    _send_test(house, folder, test_to)
                    done.append("sent as a test")
                if send:
                    done.append("sent" if _send(house, report, figures, folder, resend=resend) else "was sent before")
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


def unsubscribe(house: House, token: str) -> None:
    """Ends the mails of the subscription whose link the token comes from; ConfigurationError for any other text."""
    subscription = deliver.unsubscribed_by(token, house.hash_key)
    if subscription is None:
        raise ConfigurationError("this is no unsubscribe token of ours; take the last part of the address in the mail")
    house.state.unsubscribe(subscription, now_utc())
