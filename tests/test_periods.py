"""Dates, weeks and months in a time zone."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import periods
from etl.errors import ConfigurationError

# West and east of UTC, half hours, and clocks that change at midnight, twice a year or not at all.
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "America/St_Johns",
        "America/Havana",
        "Asia/Beirut",
        "Asia/Tokyo",
        "Asia/Kathmandu",
        "Atlantic/Azores",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Asia/Kolkata",
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
    ]
)
FREQUENCIES = st.sampled_from(["daily", "weekly", "monthly"])
INSTANTS = st.datetimes(datetime(2015, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


@given(INSTANTS, FREQUENCIES, ZONES)
def test_every_instant_lies_in_exactly_one_period(instant, frequency, timezone):
    """No event is lost between two reports, and none is in both."""
    period = periods.containing(instant.astimezone(periods.zone(timezone)).date(), frequency, timezone)
    assert period.start_at <= instant < period.end_at
    assert (period.previous.end_at, period.following.start_at) == (period.start_at, period.end_at)


@given(st.dates(date(2015, 1, 1), date(2040, 1, 1)), FREQUENCIES, ZONES)
def test_previous_undoes_following(day, frequency, timezone):
    """Going one report forward and one back ends at the same report."""
    period = periods.containing(day, frequency, timezone)
    assert period.following.previous == period == period.previous.following


@given(st.dates(date(2015, 1, 1), date(2040, 1, 1)), FREQUENCIES)
def test_a_name_is_read_as_it_was_written(day, frequency):
    """The name printed in a report selects the same report again."""
    period = periods.containing(day, frequency, "Europe/Berlin")
    assert periods.parse(period.name, "Europe/Berlin") == period


@given(INSTANTS, FREQUENCIES, ZONES)
def test_the_latest_ended_period_has_ended_and_the_next_has_not(now, frequency, timezone):
    """A report never covers a period that is still running."""
    latest = periods.latest_ended(frequency, timezone, now)
    assert latest.end_at <= now < latest.following.end_at


@pytest.mark.parametrize(
    ("name", "timezone", "hours"),
    [
        ("2026-03-29", "Europe/Berlin", 23),
        ("2026-10-25", "Europe/Berlin", 25),
        ("2026-W13", "Europe/Berlin", 167),
        ("2026-10", "Europe/Berlin", 745),
        ("2026-03-08", "America/New_York", 23),
        ("2026-11-01", "America/New_York", 25),
        ("2026-W10", "America/New_York", 167),
        ("2026-11", "America/New_York", 721),
        ("2026-03-29", "Asia/Kolkata", 24),
        ("2026-W44", "Asia/Kolkata", 168),
        ("2026-10", "Asia/Kolkata", 744),
        ("2026-04-24", "Africa/Cairo", 23),  # at midnight the clock jumps to 01:00
        ("2026-10-29", "Africa/Cairo", 25),  # at midnight the clock goes back to 23:00
        ("2026-10-30", "Africa/Cairo", 24),
        ("2026-W17", "Africa/Cairo", 167),
        ("2026-04", "Africa/Cairo", 719),
        ("2026-10", "Africa/Cairo", 745),
        ("2026-03-29", "UTC", 24),
        ("2026-04-05", "Australia/Lord_Howe", 24.5),
        ("2018-11-04", "America/Sao_Paulo", 23),  # at midnight the clock jumps to 01:00
        ("2011-12-30", "Pacific/Apia", 0),  # Samoa skipped this day
        ("2011-12-29", "Pacific/Apia", 24),
        ("2011-12-31", "Pacific/Apia", 24),
        ("2011-W52", "Pacific/Apia", 144),
        ("2011-12", "Pacific/Apia", 720),
    ],
)
def test_a_period_follows_the_changes_of_its_clocks(name, timezone, hours):
    """A day on which clocks change has all of its hours, and no others."""
    period = periods.parse(name, timezone)
    assert period.end_at - period.start_at == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("name", "timezone", "start_at", "end_at"),
    [
        ("2026-03-08", "America/New_York", "2026-03-08T05:00Z", "2026-03-09T04:00Z"),
        ("2026-11-01", "America/New_York", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        ("2026-10-25", "Asia/Kolkata", "2026-10-24T18:30Z", "2026-10-25T18:30Z"),
        ("2026-04-24", "Africa/Cairo", "2026-04-23T22:00Z", "2026-04-24T21:00Z"),
        ("2026-10-29", "Africa/Cairo", "2026-10-28T21:00Z", "2026-10-29T22:00Z"),
        ("2011-12-29", "Pacific/Apia", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),
        ("2011-12-31", "Pacific/Apia", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
        ("2011-W52", "Pacific/Apia", "2011-12-26T10:00Z", "2012-01-01T10:00Z"),
    ],
)
def test_a_period_begins_and_ends_at_the_first_instant_of_a_local_day(name, timezone, start_at, end_at):
    """Where no clock shows midnight, the day begins when the clocks jump over it."""
    period = periods.parse(name, timezone)
    assert (period.start_at, period.end_at) == (datetime.fromisoformat(start_at), datetime.fromisoformat(end_at))


@pytest.mark.parametrize("timezone", ["Pacific/Apia", "Pacific/Fakaofo"])
def test_a_day_that_clocks_skipped_has_no_report(timezone):
    """After 29 December 2011 came the 31st: no report is of the day between, and the 29th is not left out for it."""
    before, after = periods.parse("2011-12-29", timezone), periods.parse("2011-12-31", timezone)
    assert (before.following, after.previous) == (after, before)
    assert periods.latest_ended("daily", timezone, after.start_at) == before
    assert periods.latest_ended_by(date(2011, 12, 30), "daily", timezone) == before


@pytest.mark.parametrize(
    ("day", "frequency", "name"),
    [
        (date(2026, 12, 31), "weekly", "2026-W53"),
        (date(2027, 1, 3), "weekly", "2026-W53"),
        (date(2027, 1, 4), "weekly", "2027-W01"),
        (date(2024, 2, 29), "monthly", "2024-02"),
        (date(2026, 11, 23), "daily", "2026-11-23"),
    ],
)
def test_a_period_has_the_name_that_calendars_give_it(day, frequency, name):
    """The week over new year belongs to the year that has its Thursday."""
    assert periods.containing(day, frequency, "UTC").name == name


@pytest.mark.parametrize(
    ("day", "frequency", "name"),
    [
        (date(2026, 11, 30), "monthly", "2026-11"),
        (date(2026, 11, 29), "monthly", "2026-10"),
        (date(2026, 11, 29), "weekly", "2026-W48"),
        (date(2026, 11, 29), "daily", "2026-11-29"),
    ],
)
def test_as_of_gives_the_latest_period_that_ended_by_then(day, frequency, name):
    """--as-of with a month's last day gives that month."""
    assert periods.latest_ended_by(day, frequency, "Europe/Berlin").name == name


@pytest.mark.parametrize(
    "name",
    [
        "2026-13",
        "2026-W54",
        "2025-W53",
        "2026-02-30",
        "November",
        "2026",
        "20261123",
        "2026-W47-1",
        "２０２６-11",
        "9999-12",
    ],
)
def test_an_invalid_period_is_refused(name):
    """A mistyped period is an error that shows how to write one."""
    with pytest.raises(ConfigurationError, match="2026-W47"):
        periods.parse(name, "UTC")


@pytest.mark.parametrize("name", ["Europe/Berln", "", "../etc/passwd", "Europe"])
def test_an_invalid_time_zone_is_refused(name):
    """A mistyped time zone is an error that shows how to write one."""
    with pytest.raises(ConfigurationError, match="Europe/Berlin"):
        periods.zone(name)
