"""The figures document: all that one report shows.

The stage ``statistics`` lands it as ``figures.json``. ``render`` and ``deliver`` read only this document, never the
warehouse. Timestamps are UTC text with ``Z``. Days are ISO 8601 text. Rates are unrounded, from 0 to 1, or None without
recipients.
"""

import json
from typing import Literal, TypedDict, cast

from etl.periods import Frequency

Detail = Literal["recipients", "summary"]


class Subscription(TypedDict):
    """The subscriber: address, frequency, time zone and language. ``detail`` is recipients or summary."""

    subscription_id: str
    email: str
    frequency: Frequency
    timezone: str
    locale: str
    detail: Detail


class ListedSubscription(Subscription):
    """A subscription as a row of the registry."""

    issuer_id: str
    is_paused: bool


class Issuer(TypedDict):
    """The organisation that the report is about."""

    issuer_id: str
    name: str
    logo: str | None
    color: str | None


class ReportPeriod(TypedDict):
    """The local days that the report covers, and their bounds as instants. ``end_at`` is the first instant after them."""

    name: str
    frequency: Frequency
    timezone: str
    first_date: str
    last_date: str
    start_at: str
    end_at: str


class Restated(TypedDict):
    """A figure of the report before that is another today, at the same instant: by late events or a changed registry.

    ``certificate_id`` and ``name`` are None for all certificates together. ``figure`` is the name of its key.
    """

    certificate_id: str | None
    name: str | None
    figure: str
    sent_count: int
    count: int


class Moved(TypedDict):
    """A figure of the period that differs from that of the period before by more than chance.

    ``kind`` is ``rate`` (of the recipients added in each period, at its end) or ``volume`` (what happened in each period, with
    None for ``of_count`` and the rates). ``change`` is the difference of the rates, or the volume's relative to the former, None
    where that is 0. ``p_value`` is corrected for all tests of the report. ``certificate_id`` is None for all together.
    """

    kind: str
    measure: str
    certificate_id: str | None
    count: int
    of_count: int | None
    former_count: int
    former_of_count: int | None
    rate: float | None
    former_rate: float | None
    change: float | None
    p_value: float


class News(TypedDict):
    """What is new since the report that was sent before, and what moved since the period before.

    ``sent`` is the period of that report, None for the first. ``changes`` has today's count less the count in that report, by
    figure. ``former`` is the period compared with, None where it does not lie whole within the logs. ``tests_count`` tests were
    made. ``is_quiet`` says that no figure and no row is other than in that report.
    """

    sent: ReportPeriod | None
    is_quiet: bool
    changes: dict[str, int]
    restated: list[Restated]
    former: ReportPeriod | None
    tests_count: int
    moved: list[Moved]


class MissingSlice(TypedDict):
    """A slice that the report's days need and that the warehouse does not have."""

    source: str
    day: str


class WaivedSlice(MissingSlice):
    """A slice that was waived, with the reason that was given."""

    reason: str


class SourceCoverage(TypedDict):
    """How far the data of one source reach: its last whole UTC day, or None where not even its first day is whole."""

    source: str
    through: str | None


class SliceCounts(TypedDict):
    """The slices of the UTC days that the period touches. expected = whole + waived + missing."""

    expected_count: int
    whole_count: int
    waived_count: int
    missing_count: int


class Records(TypedDict):
    """The records that the logs brought in the UTC days that the period touches.

    raw = event + duplicate + reject + ignored. The others are of ``distinct_event_count``, in which an event that came in
    several slices counts once; ``late_count`` happened before the day of their slice.
    """

    raw_count: int
    event_count: int
    duplicate_count: int
    reject_count: int
    ignored_count: int
    distinct_event_count: int
    unattributed_count: int
    disagreement_count: int
    late_count: int


class Quality(TypedDict):
    """The completeness of the data behind the report: how far they reach, and which slices are missing or waived."""

    is_whole: bool
    is_complete: bool
    logs_begin: str | None
    mail_logs_begin: str | None
    claim_logs_begin: str | None
    whole_through: str | None
    last_loaded_at: str | None
    sources: list[SourceCoverage]
    slices: SliceCounts
    records: Records
    missing: list[MissingSlice]
    waived: list[WaivedSlice]


class Counts(TypedDict):
    """Counts of distinct recipients, each with its rate over ``recipients_count``."""

    recipients_count: int
    claimed_count: int
    claimed_rate: float | None
    shared_or_downloaded_count: int
    shared_or_downloaded_rate: float | None
    added_to_linkedin_count: int
    added_to_linkedin_rate: float | None
    sent_count: int
    sent_rate: float | None
    delivered_count: int
    delivered_rate: float | None
    bounced_count: int
    bounced_rate: float | None
    opened_count: int
    opened_rate: float | None
    clicked_count: int
    clicked_rate: float | None


class Parts(Counts):
    """The parts that close the sums, and the counts of those recipients whose mail the logs can know.

    recipients = sent + not_sent; sent = delivered + bounced + rejected_after_sending + waiting + unknown.
    """

    not_sent_count: int
    rejected_after_sending_count: int
    waiting_count: int
    unknown_count: int
    before_logs_count: int
    known_recipients_count: int
    known_claimed_count: int
    known_claimed_rate: float | None
    known_shared_or_downloaded_count: int
    known_shared_or_downloaded_rate: float | None
    known_added_to_linkedin_count: int
    known_added_to_linkedin_rate: float | None
    known_opened_count: int
    known_opened_rate: float | None
    known_clicked_count: int
    known_clicked_rate: float | None


class Totals(Parts):
    """The counts of all certificates together. People are distinct addresses, however many credentials each has."""

    certificates_count: int
    people_count: int
    claimed_people_count: int
    machine_only_opened_count: int
    machine_only_clicked_count: int


class MachineReasons(TypedDict):
    """Counts of recipients with opens or clicks by machines only, by the rule that recognised the machine."""

    opened: dict[str, int]
    clicked: dict[str, int]


class Interval(TypedDict):
    """The 95 % interval of Wilson around a rate."""

    low_rate: float
    high_rate: float


class Cohort(TypedDict):
    """The recipients who were added in the same week or month, and how many claimed by day 1, 3, 7 and 30.

    Without ``first_date`` these are all before ``last_date``; without both, all. ``day_n_of_count`` were added at least n days
    before the end of the period; ``mature_day`` is the last of the four days that all of the cohort have behind them.
    """

    first_date: str | None
    last_date: str | None
    recipients_count: int
    day_1_count: int
    day_1_of_count: int
    day_1_rate: float | None
    day_3_count: int
    day_3_of_count: int
    day_3_rate: float | None
    day_7_count: int
    day_7_of_count: int
    day_7_rate: float | None
    day_30_count: int
    day_30_of_count: int
    day_30_rate: float | None
    mature_day: int


class Peers(TypedDict):
    """A rate of a certificate beside the middle rate of the issuer's other certificates, counted alike."""

    within_count: int
    of_count: int
    within_rate: float | None
    others_count: int
    others_rate: float | None


class PeerRule(TypedDict):
    """Which certificates are compared: those with so many recipients who were added so many days ago."""

    peer_days: int
    peer_recipients: int


class Domain(TypedDict):
    """What became of the mails at a receiving domain. ``domain`` is None in the row of all others."""

    domain: str | None
    domains_count: int
    recipients_count: int
    sent_count: int
    delivered_count: int
    delivered_of_sent_rate: float | None
    bounced_count: int
    bounced_of_sent_rate: float | None
    bounced_hard_count: int
    bounced_soft_count: int
    bounced_block_count: int
    bounced_undetermined_count: int
    opened_of_delivered_count: int
    opened_of_delivered_rate: float | None
    claimed_count: int
    claimed_rate: float | None


class Trend(TypedDict):
    """The credentials issued, first claimed, and first shared or downloaded in some days. ``is_cut``: the logs begin in them."""

    first_date: str
    last_date: str
    issued_count: int
    claimed_count: int
    shared_or_downloaded_count: int
    is_cut: bool


class CertificateFigures(Parts):
    """The metric catalogue of one certificate, its bounces by class, and rates over sent or delivered, as is usual for e-mail."""

    certificate_id: str
    name: str
    kind: str
    issuer_id: str
    created_at: str
    as_of_date: str
    shares: dict[str, int]
    rejected_count: int
    rejected_rate: float | None
    machine_only_opened_count: int
    machine_only_opened_rate: float | None
    machine_only_clicked_count: int
    machine_only_clicked_rate: float | None
    complained_count: int
    complained_rate: float | None
    unsubscribed_count: int
    unsubscribed_rate: float | None
    bounced_hard_count: int
    bounced_soft_count: int
    bounced_block_count: int
    bounced_undetermined_count: int
    opened_of_delivered_count: int
    opened_of_delivered_rate: float | None
    clicked_of_delivered_count: int
    clicked_of_delivered_rate: float | None
    bounced_of_sent_rate: float | None
    machine_opened_count: int
    machine_clicked_count: int
    machine_reasons: MachineReasons
    todos: dict[str, int]
    intervals: dict[str, Interval]
    cohorts: list[Cohort]
    peers: dict[str, Peers]
    claims_to_gain_count: int
    changed_count: int
    new_todos: dict[str, int]
    new_bounced_count: int
    changes: dict[str, int]


class Todo(TypedDict):
    """One thing to do, for how many recipients of how many certificates; ``new_count`` were not in the list before."""

    todo: str
    recipients_count: int
    certificates_count: int
    new_count: int


class Recipient(TypedDict):
    """One recipient: the furthest state reached, and when each action happened. See ``reported_recipients.sql``."""

    certificate_id: str
    recipient_id: str
    email: str
    name: str
    status: str
    is_bounced: bool
    outcome: str
    is_before_logs: bool
    todo: str | None
    is_new_todo: bool
    new: str
    sent_at: str | None
    delivered_at: str | None
    bounced_at: str | None
    opened_at: str | None
    clicked_at: str | None
    claimed_at: str | None
    downloaded_at: str | None
    shared_at: str | None
    added_to_profile_at: str | None
    machine_opened_at: str | None
    machine_clicked_at: str | None
    channels: str
    complained_at: str | None
    unsubscribed_at: str | None
    did_you_mean: str | None
    bounce_class: str | None
    bounce_reason: str | None
    last_event_at: str | None


class Figures(TypedDict):
    """The whole document. The ledger stores it without ``recipients``."""

    metric_catalogue_version: int
    subscription: Subscription
    issuer: Issuer
    period: ReportPeriod
    counts_share_links: bool
    quality: Quality
    since: str | None
    news: News
    totals: Totals
    todos: list[Todo]
    peer_rule: PeerRule
    domains: list[Domain]
    trend: list[Trend]
    certificates: list[CertificateFigures]
    recipients: list[Recipient]


def parse(content: bytes) -> Figures:
    """Read a landed document."""
    return cast("Figures", json.loads(content))


def serialise(figures: Figures) -> bytes:
    """Return a document as the bytes of ``figures.json``."""
    return json.dumps(figures, ensure_ascii=False, indent=1).encode()


def for_ledger(figures: Figures) -> str:
    """Return a document as the JSON text that the ledger stores: without the recipients."""
    return json.dumps({name: value for name, value in figures.items() if name != "recipients"})
