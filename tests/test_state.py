"""The state: each period is claimed once, whatever other processes do."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest

from etl import periods, settings, state
from etl.errors import ConfigurationError, StateError

NOW = datetime(2026, 12, 2, 7, tzinfo=UTC)
NOVEMBER = periods.parse("2026-11", "Europe/Berlin")
DECEMBER = NOVEMBER.following


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """Return the URL of an empty state on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def ledger(url):
    """Return an empty state on each engine."""
    return opened(url)


def opened(url):
    """Open the state behind a URL that needs no secret."""
    return state.open(url, None, {}.get)


def claim(ledger, period=NOVEMBER, message_id="<1@x>", **changed):
    """Claim a period, with details that do not matter."""
    return ledger.claim("s1", period, message_id=message_id, figures="{}", at=NOW, **changed)


def finish(ledger, status, period=NOVEMBER, message_id="<1@x>"):
    """End a claimed delivery."""
    ledger.finish("s1", period, status, message_id=message_id, at=NOW, error="450 later")


def claim_month_after_month(url, count):
    """Claim one month after another in a second process, and return the names of those that it won."""
    ledger, period, won = opened(url), NOVEMBER, []
    for _ in range(count):
        if claim(ledger, period):
            won.append(period.name)
        period = period.following
    return won


def key_of(url):
    """Return the hash key that a second process sees."""
    return opened(url).hash_key(settings.Privacy(), {}.get)


def in_processes(function, *arguments, count=2):
    """Return the results of a function that several processes run at once."""
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(function, *arguments) for _ in range(count)]]


def test_of_several_processes_one_wins_each_period(url):
    """Two schedulers on two hosts never mail the same report twice, not even on the first night."""
    won = [period for each in in_processes(claim_month_after_month, url, 60) for period in each]
    assert len(won) == len(set(won)) == 60


def test_the_hash_key_is_made_once(url):
    """Every process gets the same key, whichever asks first, and the key stays."""
    keys = {*in_processes(key_of, url), key_of(url)}
    assert [len(key) for key in keys] == [22]  # 128 bits


def test_a_configured_hash_key_has_precedence(ledger):
    """The operator's own secret is the key."""
    privacy = settings.Privacy(secret="KEY")
    assert ledger.hash_key(privacy, {"KEY": "mine"}.get) == "mine"


@pytest.mark.parametrize("status", ["sent", "failed"])
def test_a_finished_delivery_is_not_claimed_again(ledger, status):
    """A report that was sent, or finally refused, is not sent by another run."""
    claim(ledger)
    finish(ledger, status)
    assert claim(ledger, message_id="<2@x>") is None


def test_a_deferred_delivery_keeps_its_message_id(ledger):
    """A mailbox that got both attempts can recognise them as one message."""
    claim(ledger)
    finish(ledger, "deferred")
    assert claim(ledger, message_id="<2@x>") == "<1@x>"
    row = ledger.delivery("s1", "2026-11")
    assert (row.attempts, row.completed_at, row.error) == (2, None, None)


@pytest.mark.parametrize("status", ["baseline", "superseded"])
def test_a_skipped_period_can_be_claimed_by_name(ledger, status):
    """A period that was never sent can still be sent."""
    ledger.record("s1", [NOVEMBER], status, NOW)
    assert claim(ledger) == "<1@x>"


@pytest.mark.parametrize("status", [None, "sent", "failed"])
def test_a_resend_takes_over_once_under_a_new_message_id(ledger, status):
    """A report that was sent, was refused or is in doubt is sent again only on request."""
    claim(ledger)
    if status:
        finish(ledger, status)
    won = [claim(ledger, message_id=fresh, takes_over="<1@x>") for fresh in ("<2@x>", "<3@x>")]
    assert won == ["<2@x>", None]


def test_a_claim_that_was_taken_over_cannot_be_finished(ledger):
    """A stopped run that continues does not overwrite the newer run's row."""
    claim(ledger)
    claim(ledger, message_id="<2@x>", takes_over="<1@x>")
    finish(ledger, "sent")
    assert ledger.delivery("s1", "2026-11").status == "claimed"


def test_recording_does_not_change_a_sent_period(ledger):
    """Recording a catch-up again changes nothing that was sent."""
    claim(ledger)
    finish(ledger, "sent")
    ledger.record("s1", [NOVEMBER, DECEMBER], "superseded", NOW)
    assert [ledger.delivery("s1", name).status for name in ("2026-11", "2026-12")] == ["sent", "superseded"]


def test_a_deferred_period_gives_way_to_a_later_one(ledger):
    """A report that is still deferred when the next one is due is not sent as well."""
    claim(ledger)
    finish(ledger, "deferred")
    ledger.record("s1", [NOVEMBER], "superseded", NOW)
    assert ledger.delivery("s1", "2026-11").status == "superseded"


def test_an_address_stays_refused_until_it_is_accepted(ledger):
    """The first reply is kept, by the address's hash, whatever comes after it."""
    first, second = (state.Refusal(name, f"550 5.1.1 {name}", NOW) for name in ("s1", "s2"))
    ledger.refuse_address("a1b2", first)
    ledger.refuse_address("a1b2", second)
    assert ledger.refused_addresses() == {"a1b2": first}
    ledger.accept_address("a1b2")
    ledger.accept_address("a1b2")
    assert ledger.refused_addresses() == {}


def test_the_newest_row_is_the_one_whose_period_ended_last(ledger):
    """An old period sent by name does not make later ones due again. A deferred period is not finished."""
    for period, status in ((DECEMBER, "sent"), (NOVEMBER, "sent"), (DECEMBER.following, "deferred")):
        claim(ledger, period)
        finish(ledger, status, period)
    assert ledger.newest()["s1"].period == "2026-12"


def test_a_claim_without_an_end_is_in_doubt(ledger):
    """The next run finds a run that was killed while sending."""
    claim(ledger)
    assert ledger.doubtful(NOW) == []
    assert [row.period for row in ledger.doubtful(NOW + timedelta(hours=1))] == ["2026-11"]


def test_a_claim_that_ended_in_doubt_is_in_doubt_at_once(ledger):
    """A run that got no reply does not make anybody wait for the age at which it could be told from one at work."""
    claim(ledger)
    finish(ledger, "claimed")
    assert [row.period for row in ledger.doubtful(NOW)] == ["2026-11"]


def test_a_claim_that_may_be_at_work_is_not_taken_over(ledger):
    """A resend takes over a claim only once no run can be at work on it, or once its run said that it ended."""
    claim(ledger)
    young, old = NOW, NOW + timedelta(seconds=1)
    assert claim(ledger, message_id="<2@x>", takes_over="<1@x>", killed_before=young) is None
    assert claim(ledger, message_id="<2@x>", takes_over="<1@x>", killed_before=old) == "<2@x>"
    finish(ledger, "claimed", message_id="<2@x>")
    assert claim(ledger, message_id="<3@x>", takes_over="<2@x>", killed_before=young) == "<3@x>"


def test_a_deferred_period_that_another_run_claimed_again_is_not_taken_over(ledger):
    """A resend that saw a deferred period does not send beside the run that has begun to send it since."""
    claim(ledger)
    finish(ledger, "deferred")
    assert claim(ledger, message_id="<2@x>") == "<1@x>"
    assert claim(ledger, message_id="<3@x>", takes_over="<1@x>", killed_before=NOW) is None


def test_the_figures_are_kept_as_sent(ledger):
    """The next report can show what has changed since."""
    ledger.claim("s1", NOVEMBER, message_id="<1@x>", figures='{"a": 1.0}', at=NOW)
    finish(ledger, "sent")
    assert ledger.last_sent("s1", DECEMBER) == ("2026-11", '{"a": 1.0}')
    assert ledger.last_sent("s1", NOVEMBER) is None


def test_a_quiet_period_is_settled_and_is_not_the_one_that_was_sent(ledger):
    """It is not due again, and the next report tells what is new since the last full one."""
    ledger.claim("s1", NOVEMBER, message_id="<1@x>", figures="{}", at=NOW)
    finish(ledger, "sent")
    claim(ledger, DECEMBER)
    finish(ledger, "quiet", DECEMBER)
    ledger.record("s1", [DECEMBER.following], "quiet", NOW)
    assert ledger.newest()["s1"].period == "2027-01"
    assert ledger.last_sent("s1", DECEMBER.following.following) == ("2026-11", "{}")
    assert claim(ledger, DECEMBER, "<2@x>") is None
    assert claim(ledger, DECEMBER.following, "<3@x>") == "<3@x>"  # nobody got a mail, so it can be asked for by name


def test_a_deferred_period_may_turn_out_quiet(ledger):
    """What was refused for now is not sent later, where nothing is new after all."""
    claim(ledger)
    finish(ledger, "deferred")
    ledger.record("s1", [NOVEMBER], "quiet", NOW)
    assert ledger.delivery("s1", "2026-11").status == "quiet"


def test_a_period_that_ends_later_today_is_not_before_itself(ledger):
    """A report that is sent again after its reader moved west is compared with the one before it."""
    claim(ledger)
    finish(ledger, "sent")
    assert ledger.last_sent("s1", periods.parse("2026-11", "America/Los_Angeles")) is None


def test_instants_are_read_as_they_were_written(ledger):
    """A ledger on a server in another time zone has the same times."""
    claim(ledger)
    row = ledger.delivery("s1", "2026-11")
    assert (row.claimed_at, row.period_end) == (NOW, datetime(2026, 11, 30, 23, tzinfo=UTC))


def test_a_waiver_keeps_its_latest_reason(ledger):
    """A mistyped reason can be corrected before it is printed."""
    for reason in ("outtage", "outage"):
        ledger.waive("sendgrid", date(2026, 11, 3), reason, NOW)
    assert ledger.waivers() == {("sendgrid", date(2026, 11, 3)): "outage"}


def test_unsubscribing_and_forgetting_twice_is_as_once(ledger):
    """Clicking the link again does no harm."""
    for _ in range(2):
        ledger.unsubscribe("s1", NOW)
        ledger.forget("r1", NOW)
    assert (ledger.unsubscribed(), ledger.forgotten()) == ({"s1"}, {"r1"})


def test_a_missing_slice_is_reported_once(ledger):
    """An hourly run does not report the same missing slice every hour."""
    reported = [ledger.mark_reported("sendgrid", date(2026, 11, day), NOW) for day in (3, 3, 4)]
    assert reported == [True, False, True]


def test_the_state_outlives_the_process(url):
    """Another process finds the state."""
    opened(url).unsubscribe("s1", NOW)
    assert opened(url).unsubscribed() == {"s1"}


@pytest.mark.parametrize("wrong", ["mysql://user@host/db", "no url", "oracle:///x"])
def test_another_kind_of_url_is_refused(wrong):
    """A database that cannot guarantee a single mail is refused."""
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        opened(wrong)


def test_a_database_that_is_not_there_is_an_error_without_its_password():
    """The error says where the state was sought, and has no secret."""
    with pytest.raises(StateError, match="localhost:1") as caught:
        state.open("postgresql+psycopg://user@localhost:1/db", "PASSWORD", {"PASSWORD": "hunter2"}.get)
    assert "hunter2" not in str(caught.value)
