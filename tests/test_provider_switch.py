"""A platform that changes its provider half-way: the figures know nothing of it.

Thirty simulated nights stand in two warehouses: in one all mail events came from SendGrid, in the other those of the
last fifteen nights came as Mailgun's webhooks, which are made here of SendGrid's events.
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
"""What Mailgun calls an event of SendGrid."""

SUPPRESSIONS = {
    "Bounced Address": ("suppress-bounce", 605),
    "Unsubscribed Address": ("suppress-unsubscribe", 606),
    "Spam Reporting Address": ("suppress-complaint", 607),
}
"""Why Mailgun did not try, and the code that it gives for it."""


def only_one_can_express(event):
    """What stays out of both platforms: a final bounce that is soft, a full mailbox's (4.2.2) or an expired mail's (4.4.1).

    Whatever fails for good at Mailgun is hard or a block. Two more things are left out: a post that the collector cut
    off, since Mailgun posts its events singly (``posted``); and, as the figures of a mail that was not even tried, the
    class and reason of a bounce, since Mailgun calls that a suppressed bounce and SendGrid a drop (``recipients``).
    """
    return event["event"] == "bounce" and event["status"].startswith("4")


def as_mailgun(event):
    """The webhook that Mailgun would have posted of an event of SendGrid."""
    message_id = event.get("sg_message_id", "").split(".")[0] or event.get("smtp-id")
    told = {
        "id": event["sg_event_id"],
        "timestamp": event["timestamp"],
        "recipient": event["email"],
        "message": {"headers": {"message-id": message_id} if message_id else {}},
        "user-variables": {name: event[name] for name in ("recipient_id", "certificate_id") if name in event},
        "tags": event["category"],
        "client-info": {"user-agent": event.get("useragent"), "bot": "apple" if event.get("sg_machine_open") else ""},
        "url": event.get("url"),
    }
    return {"event-data": told | NAMES[event["event"]] | fate(event)}


def fate(event):
    """What Mailgun says of the receiving server's answer, or of why it asked none."""
    if event["event"] == "dropped":
        reason, code = SUPPRESSIONS[event["reason"]]
        return {"reason": reason, "delivery-status": {"code": code, "message": ""}}
    answer = event.get("response") or event.get("reason")
    status = {"delivery-status": {"code": int(answer[:3]), "message": answer} if answer else None}
    return status | ({"reason": "espblock"} if event.get("type") == "blocked" else {})


def posted(folder, day):
    """The events of SendGrid that came on a day, as both can express them; what came twice stands twice."""
    for path in sorted(folder.glob(f"sendgrid/{day:%Y/%m/%d}/*.json.gz")):
        for post in gzip.decompress(path.read_bytes()).decode().splitlines():
            if post.endswith("]"):
                yield from (event for event in json.loads(post) if not only_one_can_express(event))


def write_mail(folder):
    """Every day's mail as SendGrid posts it, and once more, in another folder, as Mailgun does."""
    for day in pipeline.days(FIRST, LAST):
        events = list(posted(folder, day))
        for provider, said in (("sendgrid", events), ("mailgun", map(as_mailgun, events))):
            path = folder / "mail" / provider / f"{day}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(map(json.dumps, said)))


def entered(folder, simulated, **sources):
    """The places of a configuration in a folder that has these sources, each with its first and last day."""
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
    """Nights without their validation, which is slow and not asked about here."""
    for name, day in pipeline.slices_to_bring(context, None, first, last, from_landing=False):
        pipeline.extract_slice(context, name, day, from_landing=False, replace=False)
        pipeline.normalise_slice(context, name, day)
        landed = context.landing.newest(slice_prefix(name, day))
        context.landing.publish(landed.model_copy(update={"status": "valid"}))
        pipeline.load_slice(context, name, day, replace=False, now=datetime(LAST.year + 1, 1, 1, tzinfo=UTC))
    pipeline.refresh(context)


@pytest.fixture(scope="module")
def platforms(tmp_path_factory):
    """The platform that stayed with SendGrid, and its copy that went to Mailgun after the fifteenth night."""
    simulated = simulate(tmp_path_factory.mktemp("simulated"), first_day=FIRST).folder
    write_mail(simulated)
    folder = tmp_path_factory.mktemp("stayed")
    copy = folder.with_name("switched")
    stayed = entered(folder, simulated, sendgrid=(FIRST, LAST))
    pipeline.pull_registry(stayed)
    bring(stayed, FIRST, SWITCH)
    shutil.copytree(folder, copy)
    switched = entered(copy, simulated, sendgrid=(FIRST, SWITCH), mailgun=(SWITCH + timedelta(days=1), LAST))
    bring(stayed, SWITCH + timedelta(days=1), LAST)
    bring(switched, SWITCH + timedelta(days=1), LAST)
    return stayed, switched


def catalogue(context, as_of):
    """The catalogue of every certificate at the end of a day."""
    with context.warehouse() as opened:
        return statistics.catalogue(opened, context.settings, as_of, "UTC", None, None)


def recipients(context, as_of):
    """What became of every recipient of one certificate by the end of a day."""
    with context.warehouse() as opened:
        rows = statistics.recipients(opened, context.settings, as_of, "UTC", CERTIFICATE)
    untried = {"bounce_class": None, "bounce_reason": None}
    return [row | untried if row["status"] == "rejected" else row for row in rows]


@pytest.mark.parametrize("question", [catalogue, recipients])
@pytest.mark.parametrize("as_of", [SWITCH - timedelta(days=5), SWITCH, LAST])
def test_figures_are_those_of_one_provider_after_a_switch(platforms, question, as_of):
    """Whoever changes the provider half-way reads the same figures, row by row, as whoever stays."""
    stayed, switched = (question(context, as_of) for context in platforms)
    assert len(stayed) == len(switched) > 5
    for one, other in zip(stayed, switched, strict=True):
        assert other == one
