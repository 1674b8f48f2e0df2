"""Run the steps of a report: plan, land the figures, render the files, send the mail."""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from etl import deliver, figures, periods, scratch, statistics
from etl.deliver import Due
from etl.errors import (
    AnalyticsError,
    ConfigurationError,
    DamagedFile,
    DeadAddress,
    DeliveryError,
    DoubtfulDelivery,
    RefusedAddress,
    UnknownName,
)
from etl.figures import Figures, Subscription
from etl.periods import Period
from etl.pipeline.context import Context, now_utc
from etl.pipeline.nights import is_expected
from etl.settings import Settings
from etl.state import Refusal

if TYPE_CHECKING:
    from etl.render import landed

_log = logging.getLogger(__name__)

DOUBTFUL_AFTER = deliver.LONGEST_ATTEMPT
"""The age from which a claim without an end cannot be at work any more."""


@dataclass(frozen=True)
class Report:
    """One report to make: a subscription and a period."""

    subscription: Subscription
    period: Period

    @property
    def name(self) -> str:
        """The name of the report in messages to the user."""
        return f"{self.subscription['subscription_id']} {self.period.name}"

    @property
    def folder(self) -> Path:
        """The folder of its files, relative to the output."""
        return Path(self.subscription["subscription_id"], self.period.name)


@dataclass(frozen=True)
class ReportRequest:
    """A request by a user or the schedule: which reports to make, and where to send them.

    Without ``period`` and ``as_of`` it asks for the reports that are due. ``as_of`` asks for the latest period that ended on
    or before that day. ``send`` mails each report to its subscriber once. ``resend`` mails it again. ``test_to`` mails it
    to that address only.
    """

    subscription: str | None = None
    period: str | None = None
    as_of: date | None = None
    send: bool = False
    test_to: str | None = None
    resend: bool = False

    def check(self, settings: Settings) -> None:
        """Raise a ConfigurationError for a request that contradicts itself, or for sending while mail is off."""
        if self.as_of and self.period:
            raise ConfigurationError("as-of and period both name a period; give one of them")
        if self.test_to and (self.send or self.resend):
            raise ConfigurationError("a test goes to the tester alone; leave out send and resend, or the test address")
        if self.resend and not (self.send and (self.period or self.as_of)):
            raise ConfigurationError("resend goes with send and a period; name both")
        if self.send:
            _require_mail_on(settings)


@dataclass(frozen=True)
class Plan:
    """The plan for a request: the reports to make, all that is due, and notices for the data engineer.

    ``dues`` also holds what will not be made: baselines, and periods that are held back.
    """

    reports: tuple[Report, ...]
    dues: tuple[Due, ...]
    notices: tuple[str, ...]


def plan_reports(context: Context, request: ReportRequest, now: datetime) -> Plan:
    """Return the plan for a request at an instant. Write nothing: ``record_plan`` does."""
    request.check(context.settings)
    dues = tuple(
        due for due in _due_reports(context, now) if request.subscription in (None, due.subscription["subscription_id"])
    )
    if request.period or request.as_of:
        return Plan(tuple(_named_reports(context, request)), dues, ())
    reports = tuple(Report(due.subscription, due.period) for due in dues if due.action == "send")
    return Plan(reports, dues, tuple(_notices(context, dues, now)))


def record_plan(context: Context, plan: Plan, now: datetime, *, send: bool) -> None:
    """Write the periods that will not be sent into the ledger: baselines, and with ``send`` the superseded periods."""
    deliver.record([due for due in plan.dues if send or due.action == "baseline"], context.state, now)


def _due_reports(context: Context, now: datetime) -> list[Due]:
    with context.warehouse() as opened:
        subscriptions = statistics.subscriptions(opened)
        through = statistics.whole_through(opened, context.settings, context.waivers())
    return deliver.due(subscriptions, context.state, through, now, context.settings.mail, context.hash_key)


def _named_reports(context: Context, request: ReportRequest) -> list[Report]:
    """Return the reports of the period that a request names.

    Where it names no subscription, return a report for each subscription with the frequency of the period that is not
    paused. Raise UnknownName for a subscription that the registry does not have.
    """
    wanted = request.subscription
    with context.warehouse() as opened:
        known = statistics.subscriptions(opened)
    chosen = [row for row in known if wanted == row["subscription_id"] or not (wanted or row["is_paused"])]
    if wanted and not chosen:
        raise UnknownName("subscription", wanted)
    reports = [Report(row, _period(row, request)) for row in chosen]
    return [report for report in reports if wanted or report.period.frequency == report.subscription["frequency"]]


def _period(subscription: Subscription, request: ReportRequest) -> Period:
    if request.period:
        return periods.parse(request.period, subscription["timezone"])
    return periods.latest_ended_by(request.as_of or date.max, subscription["frequency"], subscription["timezone"])


def _notices(context: Context, dues: Iterable[Due], now: datetime) -> Iterator[str]:
    """Yield a sentence for each report that is held back, has no address that works, or may have been sent or not."""
    for due in dues:
        if due.refusal:
            yield str(_dead(Report(due.subscription, due.period), due.refusal))
        if due.action == "hold":
            yield (
                f"{due.subscription['subscription_id']} {due.period.name} is held back until its days are whole;"
                " see the verb slices"
            )
    for delivery in context.state.doubtful(now - DOUBTFUL_AFTER):
        what = f"the report {delivery.subscription_id} {delivery.period}"
        yield str(DoubtfulDelivery(what, delivery.message_id or ""))


def _dead(report: Report, refusal: Refusal) -> DeadAddress:
    return DeadAddress(f"the report {report.name}", f"{refusal.refused_at:%Y-%m-%d}", refusal.reply)


def planned_reports(context: Context, planned: Iterable[tuple[str, str]]) -> list[Report]:
    """Return the reports for pairs of subscription id and period name, as a plan names them.

    A subscription that has left the registry since the plan was made gets no report.
    """
    with context.warehouse() as opened:
        known = {row["subscription_id"]: row for row in statistics.subscriptions(opened)}
    return [
        Report(known[name], periods.parse(period, known[name]["timezone"])) for name, period in planned if name in known
    ]


def held_reports(context: Context, now: datetime) -> list[str]:
    """Return the subscription and period of each report that is held back because a slice is missing."""
    dues = _due_reports(context, now)
    return [f"{due.subscription['subscription_id']} {due.period.name}" for due in dues if due.action == "hold"]


def dead_addresses(context: Context, now: datetime) -> list[str]:
    """Return the subscriptions to whose address nothing is sent, because a mail server refused it for good."""
    return [due.subscription["subscription_id"] for due in _due_reports(context, now) if due.refusal]


def newly_missing(context: Context, now: datetime) -> list[str]:
    """Return a sentence for each slice that holds reports back and was not reported before; record that it is reported now."""
    held = [due.period for due in _due_reports(context, now) if due.action == "hold"]
    if not held:
        return []
    last = max(period.end_at - timedelta.resolution for period in held).date()
    with context.warehouse() as opened:
        rows = statistics.slices(opened, context.settings, context.waivers(), now.date(), last=last)
    missing = [
        row
        for row in rows
        if row["status"] in ("missing", "failed")
        and row["source"] in context.settings.sources
        and is_expected(context.source(row["source"]), row["load_date"])
    ]
    return [
        f"{row['source']} {row['load_date']}: {row['last_error'] or row['status']}"
        for row in missing
        if context.state.mark_reported(row["source"], row["load_date"], now)
    ]


def land_figures(context: Context, reports: Iterable[Report], today: date) -> None:
    """Land the figures of reports: the only step of a report that opens the warehouse."""
    waivers, mail_sources = context.waivers(), context.mail_sources()
    records: dict[tuple[datetime, datetime], Mapping[str, int]] = {}  # counting them reads every event of the period
    with context.warehouse() as opened:
        for report in reports:
            former, sent = _sent_before(context, report)
            bounds = report.period.start_at, report.period.end_at
            if bounds not in records:
                records[bounds] = statistics.received(opened, report.period)
            background = statistics.Background(waivers, today, mail_sources, former, records[bounds], sent)
            statistics.land_figures(
                opened, context.landing, context.settings, report.subscription, report.period, background
            )


def _sent_before(context: Context, report: Report) -> tuple[Period, Figures] | tuple[None, None]:
    """Return the newest earlier period whose report was sent, with its figures as sent; None twice where there is none.

    The period ends when it ended then, though the subscription may have moved to another time zone since.
    """
    found = context.state.last_sent(report.subscription["subscription_id"], report.period)
    if found is None:
        return None, None
    name, sent = found[0], figures.parse(found[1].encode())
    return periods.parse(name, sent["period"]["timezone"]), sent


def landed_report(context: Context, subscription_id: str, period: str) -> Report:
    """Return a report from its landed figures, which hold the subscription. The warehouse is not opened."""
    subscription = _landed(context, subscription_id, period)["subscription"]
    return Report(subscription, periods.parse(period, subscription["timezone"]))


def _landed(context: Context, subscription_id: str, period: str) -> Figures:
    content = context.landing.read(_figures_path(context, subscription_id, period))
    if content is None:
        raise DeliveryError(f"no figures are landed for the report {subscription_id} {period}; run reports for it")
    try:
        return figures.parse(content)
    except ValueError:
        raise DamagedFile(f"figures.json of the report {subscription_id} {period}", "it is no JSON") from None


def _figures_path(context: Context, subscription_id: str, period: str) -> str:
    return context.landing.path("reports", subscription_id, period, "figures.json")


def make_reports(
    context: Context,
    reports: Iterable[Report],
    request: ReportRequest,
    output: Path | None,
    report_outcome: Callable[[str | AnalyticsError], None],
    warn: Callable[[str], None] = _log.warning,
    processes: int | None = 1,
) -> int:
    """Render reports from their landed figures, and send them as requested; return how many failed.

    ``report_outcome`` is called with a line or the failure of each report, and ``warn`` with a line for whatever a report
    had to leave out. Without ``output`` the files are stored in the landing, beside the figures; with it, an index.html
    over all reports is written into it. ``processes`` render at once; None means one for each core.
    """
    from etl.render import index, landed  # noqa: PLC0415  # importing it takes two seconds, and only this step needs it

    chosen, failures = list(reports), dict[Path, str]()
    with scratch.folder() as temporary:
        folder = output or temporary
        wanted = [_landed_report(context, report, request, folder) for report in chosen]
        with closing(landed.render_landed(wanted, processes or landed.cores())) as outcomes:
            for report, outcome in zip(chosen, outcomes, strict=True):
                try:
                    done = _finish(context, report, request, output, folder / report.folder, outcome, warn)
                except ConfigurationError:
                    raise
                except AnalyticsError as error:
                    failures[report.folder] = str(error)
                    report_outcome(error)
                else:
                    report_outcome(f"{report.name}: {', '.join(done)}")
    if output:
        index.write_index(output, failures)
    return len(failures)


def _landed_report(context: Context, report: Report, request: ReportRequest, folder: Path) -> "landed.LandedReport":
    """Return what rendering a report needs.

    A test has no unsubscribe link, because the link would end the mails of the real subscriber.
    """
    from etl.render import MailOptions, landed  # noqa: PLC0415

    name, mail, link = report.subscription["subscription_id"], context.settings.mail, None
    if mail.unsubscribe_url and not request.test_to:
        link = mail.unsubscribe_url.format(token=deliver.unsubscribe_token(name, context.hash_key))
    options = MailOptions(mail.sender, mail.reply_to, link, is_short_when_quiet=mail.when_quiet == "short")
    path = _figures_path(context, name, report.period.name)
    return landed.LandedReport(report.name, context.landing.url, path, folder / report.folder, options)


def _finish(
    context: Context,
    report: Report,
    request: ReportRequest,
    output: Path | None,
    folder: Path,
    outcome: "landed.Outcome",
    warn: Callable[[str], None],
) -> list[str]:
    """Store a rendered report and send it as requested; return what was done. Raise the failure of its rendering.

    The ledger stores the figures that were rendered, even if they are landed again meanwhile.
    """
    if isinstance(outcome, AnalyticsError):
        raise outcome
    for warning in outcome.warnings:
        warn(f"{report.name}: {warning}")
    done = [str(folder) if output else _keep(context, report, folder)]
    if request.test_to:
        _send_test(context, folder, request.test_to)
        done.append("sent as a test")
    if request.send:
        done.append(_send(context, report, outcome.figures, folder, resend=request.resend))
    if not output:
        shutil.rmtree(folder)
    return done


def _require_mail_on(settings: Settings) -> None:
    if not settings.mail.enabled:
        raise ConfigurationError("mail is switched off; set enabled = true under [mail], or send a test to one address")


def _require_mailable(context: Context, report: Report, document: Figures, *, resend: bool) -> None:
    """Raise an error that says why a rendered report may not be mailed to its subscriber."""
    _require_mail_on(context.settings)
    subscription, what = report.subscription, f"the report {report.name} is not sent"
    if subscription["subscription_id"] in context.state.unsubscribed():
        raise DeliveryError(f"{what}: its reader has unsubscribed")
    if not document["quality"]["is_whole"]:
        raise DeliveryError(f"{what}: its data are not whole; see the verb slices")
    if report.period.frequency != subscription["frequency"]:
        raise DeliveryError(f"{what}: the subscription is {subscription['frequency']}")
    refusal = context.state.refused_addresses().get(_address_key(context, report))
    if refusal and not resend:
        raise _dead(report, refusal)


def _address_key(context: Context, report: Report) -> str:
    return deliver.address_key(report.subscription["email"], context.hash_key)


def _send(context: Context, report: Report, document: Figures, folder: Path, *, resend: bool) -> str:
    """Send a rendered report once, as ``[mail] when_quiet`` says where nothing is new; return in words what was done.

    An address that the mail server refuses for good gets no more mail, until a resend to it succeeds.
    """
    _require_mailable(context, report, document, resend=resend)
    name, key = report.subscription["subscription_id"], _address_key(context, report)
    mail, is_quiet = context.settings.mail, document["news"]["is_quiet"]
    if is_quiet and mail.when_quiet == "skip" and not resend:
        context.state.record(name, [report.period], "quiet", now_utc())
        return "not sent, because nothing is new"
    is_short = is_quiet and mail.when_quiet == "short"
    try:
        has_left = deliver.send(
            (folder / "message.eml").read_bytes(),
            state=context.state,
            subscription_id=name,
            period=report.period,
            figures=figures.for_ledger(document),
            mail=mail,
            lookup=context.lookup,
            clock=now_utc,
            resend=resend,
            sent_status="quiet" if is_short else "sent",
        )
    except RefusedAddress as error:
        context.state.refuse_address(key, Refusal(name, error.reason, now_utc()))
        raise
    if not has_left:
        return "was sent before"
    context.state.accept_address(key)
    return "sent in short, because nothing is new" if is_short else "sent"


def _send_test(context: Context, folder: Path, address: str) -> None:
    """Send a rendered report to a tester only, as a test."""
    deliver.send_test(
        (folder / "message.eml").read_bytes(),
        address,
        mail=context.settings.mail,
        lookup=context.lookup,
        clock=now_utc,
    )


def _keep(context: Context, report: Report, folder: Path) -> str:
    kept = context.landing.path("reports", *report.folder.parts)
    for file in folder.iterdir():
        context.landing.write(f"{kept}/{file.name}", file.read_bytes())
    return context.landing.shown(kept)


def unsubscribe(context: Context, token: str) -> None:
    """End the mails of the subscription to which an unsubscribe token belongs; raise a ConfigurationError for any other text."""
    subscription = deliver.unsubscribed_by(token, context.hash_key)
    if subscription is None:
        raise ConfigurationError("this is no unsubscribe token of ours; take the last part of the address in the mail")
    context.state.unsubscribe(subscription, now_utc())
