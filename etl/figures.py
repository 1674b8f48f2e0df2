"""The figures document: all that one report shows, and the only thing that renders and ledger read of it.

The stage ``statistics`` lands it as ``figures.json``; ``render`` and ``deliver`` work from it alone. Times are UTC text
with ``Z``, days are ISO 8601 text, rates are unrounded from 0 to 1, or None without recipients.
"""

import json
from typing import TypedDict, cast

from etl.periods import Frequency


class Subscription(TypedDict):
    """Who gets the report, and how that person reads."""

    subscription_id: str
    email: str
    frequency: Frequency
    timezone: str
    locale: str


class ListedSubscription(Subscription):
    """A subscription as the registry has it."""

    issuer_id: str
    is_paused: bool


class Issuer(TypedDict):
    """The organisation that the report is about."""

    issuer_id: str
    name: str
    logo: str | None
    color: str | None


class ReportPeriod(TypedDict):
    """The local days that the report covers, and their bounds as instants."""

    name: str
    frequency: Frequency
    timezone: str
    first_date: str
    last_date: str
    start_at: str
    end_at: str


class MissingSlice(TypedDict):
    """A slice that the report's days need and the warehouse lacks."""

    source: str
    day: str


class WaivedSlice(MissingSlice):
    """A slice that will never come, with the reason that somebody gave."""

    reason: str


class Quality(TypedDict):
    """What the report's days rest on."""

    is_whole: bool
    whole_through: str | None
    data_through_at: str | None
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


class Totals(Counts):
    """The counts of all certificates together."""

    certificates_count: int


class MachineReasons(TypedDict):
    """Recipients whom only a machine opened or clicked for, by the rule that said so."""

    opened: dict[str, int]
    clicked: dict[str, int]


class CertificateFigures(Counts):
    """The metric catalogue of one certificate, its bounces by class, and the industry's own rates."""

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
    machine_reasons: MachineReasons


class Recipient(TypedDict):
    """One recipient with the furthest state reached."""

    certificate_id: str
    recipient_id: str
    email: str
    name: str
    status: str
    is_bounced: bool
    bounce_class: str | None
    bounce_reason: str | None
    last_event_at: str | None


class Figures(TypedDict):
    """The whole document. The ledger keeps it without ``recipients``."""

    metric_catalogue_version: int
    subscription: Subscription
    issuer: Issuer
    period: ReportPeriod
    counts_share_links: bool
    quality: Quality
    totals: Totals
    certificates: list[CertificateFigures]
    recipients: list[Recipient]


def parse(content: bytes) -> Figures:
    """Read a landed document."""
    return cast("Figures", json.loads(content))


def serialise(figures: Figures) -> bytes:
    """Write a document as it is landed."""
    return json.dumps(figures, ensure_ascii=False, indent=1).encode()


def for_ledger(figures: Figures) -> str:
    """Write a document as the ledger keeps it: without the recipients."""
    return json.dumps({name: value for name, value in figures.items() if name != "recipients"})
