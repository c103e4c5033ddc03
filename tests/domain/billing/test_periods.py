"""P21: periods tile time, and the anchor's day does not drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcelle.domain.billing.periods import anchor_of, next_start

PARIS = ZoneInfo("Europe/Paris")


def at(year: int, month: int, day: int, hour: int = 12) -> datetime:
    return datetime(year, month, day, hour, tzinfo=PARIS)


def starts(first: datetime, interval: str, count: int) -> list[datetime]:
    made = [first]
    for _number in range(count):
        made.append(next_start(made[-1], interval=interval, anchor_day=anchor_of(first)))
    return made


def test_p21_the_last_day_of_january_comes_back_in_march() -> None:
    days = [(d.month, d.day) for d in starts(at(2026, 1, 31), "month", 4)]
    assert days == [(1, 31), (2, 28), (3, 31), (4, 30), (5, 31)]


def test_p21_a_leap_day_comes_back_in_leap_years() -> None:
    days = [(d.year, d.month, d.day) for d in starts(at(2028, 2, 29), "year", 4)]
    assert days == [(2028, 2, 29), (2029, 2, 28), (2030, 2, 28), (2031, 2, 28), (2032, 2, 29)]


@pytest.mark.parametrize(("first", "month"), [(at(2026, 3, 28, 23), 4), (at(2026, 10, 24, 23), 11)])
def test_p21_the_clock_on_the_wall_stays(first: datetime, month: int) -> None:
    following = next_start(first, interval="month", anchor_day=first.day).astimezone(PARIS)
    assert (following.month, following.day, following.hour) == (month, first.day, 23)


def test_p21_midnight_in_paris_is_another_day_than_in_greenwich() -> None:
    first = datetime(2026, 1, 30, 23, 30, tzinfo=UTC)
    assert anchor_of(first) == 31
    assert next_start(first, interval="month", anchor_day=31) == datetime(2026, 2, 27, 23, 30, tzinfo=UTC)


@given(
    first=st.integers(0, 90 * 365 * 24 * 60).map(
        lambda minutes: at(2000, 1, 1).astimezone(UTC) + timedelta(minutes=minutes)
    ),
    interval=st.sampled_from(["month", "year"]),
)
def test_p21_periods_have_the_length_of_their_interval(first: datetime, interval: str) -> None:
    made = starts(first, interval, 15)
    shortest, longest = (27, 32) if interval == "month" else (364, 367)
    for begin, end in pairwise(made):
        assert timedelta(days=shortest) <= end - begin <= timedelta(days=longest)
    local = [moment.astimezone(PARIS) for moment in made]
    months = [moment.year * 12 + moment.month for moment in local]
    assert months == list(
        range(months[0], months[0] + 16 * (1 if interval == "month" else 12), 1 if interval == "month" else 12)
    )
