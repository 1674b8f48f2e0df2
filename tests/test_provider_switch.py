"""A platform that changes its provider half-way has the same figures as one that does not.

Thirty simulated nights are in two warehouses. In one all mail events came from SendGrid. In the other those of the last
fifteen nights came as Mailgun's webhooks, which are made here from SendGrid's events.
"""

import gzip
import json
import shutil
from datetime import UTC, date, datetime, timedelta

import pytest

from demo.platform import simulate
from etl import pipeline, statistics
from etl.landing import slice_prefix

FIRST = date(2026, 3, 1)
SWITCH = FIRST + timedelta(days=14)
LAST = FIRST + timedelta(days=29)
CERTIFICATE = "sql-analysis"

NAMES = {
    "processed": {"event": "accepted"},
    "delivered": {"event": "delivered"},
    "deferred": {"event": "failed", "severity": "temporary", "reason": "generic"},
    "bounce": {"event": "failed", "severity": "permanent", "reason": "bounce"},
    "dropped": {"event": "failed", "severity": "permanent"},
    "open": {"event": "opened"},
    "click": {"event": "clicked"},
    "spamreport": {"event": "complained"},
    "unsubscribe": {"event": "unsubscribed"},
    "group_unsubscribe": {"event": "unsubscribed"},
}
"""Mailgun's fields for each of SendGrid's events."""

SUPPRESSIONS = {
    "Bounced Address": ("suppress-bounce", 605),
    "Unsubscribed Address": ("suppress-unsubscribe", 606),
    "Spam Reporting Address": ("suppress-complaint", 607),
}
"""Mailgun's reason and code for a mail that it did not try."""


def only_one_can_express(event):
    """Tell whether an event is left out of both platforms, since Mailgun cannot express it.

    These are the final bounces that are soft: a full mailbox's (4.2.2) and an expired mail's (4.4.1). At Mailgun every
    final failure is hard or a block. Two more things are left out. ``posted`` skips a post that the collector cut off,
    since Mailgun posts its events singly. ``recipients`` clears the class and reason of a bounce where the mail was not
    tried, since Mailgun calls that a suppressed bounce and SendGrid a drop.
    """
    return event["event"] == "bounce" and event["status"].startswith("4")


def as_mailgun(event):
    """Return the webhook that Mailgun would have posted for an event of SendGrid."""
    message_id = event.get("sg_message_id", "").split(".")[0] or event.get("smtp-id")
    fields = {
        "id": event["sg_event_id"],
        "timestamp": event["timestamp"],
        "recipient": event["email"],
        "message": {"headers": {"message-id": message_id} if message_id else {}},
        "user-variables": {name: event[name] for name in ("recipient_id", "certificate_id") if name in event},
        "tags": event["category"],
        "client-info": {"user-agent": event.get("useragent"), "bot": "apple" if event.get("sg_machine_open") else ""},
        "url": event.get("url"),
    }
    return {"event-data": fields | NAMES[event["event"]] | outcome_fields(event)}


def outcome_fields(event):
    """Return Mailgun's fields for the receiving server's answer, or for the reason why it was not asked."""
    if event["event"] == "dropped":
        reason, code = SUPPRESSIONS[event["reason"]]
        return {"reason": reason, "delivery-status": {"code": code, "message": ""}}
    answer = event.get("response") or event.get("reason")
    status = {"delivery-status": {"code": int(answer[:3]), "message": answer} if answer else None}
    return status | ({"reason": "espblock"} if event.get("type") == "blocked" else {})


def posted(folder, day):
    """Yield the events that SendGrid posted on a day and that both providers can express, repeated ones twice."""
    for path in sorted(folder.glob(f"sendgrid/{day:%Y/%m/%d}/*.json.gz")):
        for post in gzip.decompress(path.read_bytes()).decode().splitlines():
            if post.endswith("]"):
                yield from (event for event in json.loads(post) if not only_one_can_express(event))


def write_mail(folder):
    """Write every day's mail as SendGrid posts it, and in another folder as Mailgun does."""
    for day in pipeline.days(FIRST, LAST):
        events = list(posted(folder, day))
        for provider, posts in (("sendgrid", events), ("mailgun", map(as_mailgun, events))):
            path = folder / "mail" / provider / f"{day}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(map(json.dumps, posts)))


def configured(folder, simulated, **sources):
    """Return the context of a configuration in a folder that has these sources, each with its first and last day."""
    tables = "".join(
        f'[sources.{name}]\nformat = "{name}"\nfiles = "{simulated}/mail/{name}/{{day}}.json"\nsince = {first}\nuntil = {last}\n'
        for name, (first, last) in sources.items()
    )
    path = folder / "analytics.toml"
    path.write_text(
        f'[landing]\nurl = "file://{folder}/landing"\n[warehouse]\nurl = "duckdb:///{folder}/warehouse.duckdb"\n'
        f'[registry]\nurl = "file://{simulated}/registry"\n[credential]\nhosts = ["credentials.example"]\n{tables}'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_CONFIG", str(path))
        return pipeline.open_context({}.get)


def bring(context, first, last):
    """Run nights without their validation, which is slow and not tested here."""
    for name, day in pipeline.slices_to_bring(context, None, first, last, from_landing=False):
        pipeline.extract_slice(context, name, day, from_landing=False, replace=False)
        pipeline.normalise_slice(context, name, day)
        landed = context.landing.newest(slice_prefix(name, day))
        context.landing.publish(landed.model_copy(update={"status": "valid"}))
        pipeline.load_slice(context, name, day, replace=False, now=datetime(LAST.year + 1, 1, 1, tzinfo=UTC))
    pipeline.refresh(context)


@pytest.fixture(scope="module")
def platforms(tmp_path_factory):
    """Return the platform that stayed with SendGrid, and its copy that changed to Mailgun after the fifteenth night."""
    simulated = simulate(tmp_path_factory.mktemp("simulated"), first_day=FIRST).folder
    write_mail(simulated)
    folder = tmp_path_factory.mktemp("stayed")
    copy = folder.with_name("switched")
    stayed = configured(folder, simulated, sendgrid=(FIRST, LAST))
    pipeline.pull_registry(stayed)
    bring(stayed, FIRST, SWITCH)
    shutil.copytree(folder, copy)
    switched = configured(copy, simulated, sendgrid=(FIRST, SWITCH), mailgun=(SWITCH + timedelta(days=1), LAST))
    bring(stayed, SWITCH + timedelta(days=1), LAST)
    bring(switched, SWITCH + timedelta(days=1), LAST)
    return stayed, switched


def catalogue(context, as_of):
    """Return the catalogue of every certificate at the end of a day."""
    with context.warehouse() as opened:
        return statistics.catalogue(opened, context.settings, as_of, "UTC", None, None)


def recipients(context, as_of):
    """Return the state of every recipient of one certificate at the end of a day."""
    with context.warehouse() as opened:
        rows = statistics.recipients(opened, context.settings, as_of, "UTC", CERTIFICATE)
    untried = {"bounce_class": None, "bounce_reason": None}
    return [row | untried if row["status"] == "rejected" else row for row in rows]


@pytest.mark.parametrize("query", [catalogue, recipients])
@pytest.mark.parametrize("as_of", [SWITCH - timedelta(days=5), SWITCH, LAST])
def test_figures_are_those_of_one_provider_after_a_switch(platforms, query, as_of):
    """A platform that changes its provider half-way has the same figures, row by row, as one that stays."""
    stayed, switched = (query(context, as_of) for context in platforms)
    assert len(stayed) == len(switched) > 5
    for one, other in zip(stayed, switched, strict=True):
        assert other == one
