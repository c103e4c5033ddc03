from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from parcelle.core import ratelimit
from parcelle.core.models import RateCounter
from tests.people import NOW

HOUR = timedelta(hours=1)


def hit(key: str = "trial:203.0.113.9", *, after: timedelta = timedelta()) -> timedelta | None:
    return ratelimit.hit(key, limit=3, window=HOUR, now=NOW + after)


@pytest.mark.django_db
def test_uses_within_the_limit_are_free() -> None:
    assert [hit() for _ in range(3)] == [None] * 3


@pytest.mark.django_db
def test_one_too_many_is_told_how_long_to_wait() -> None:
    for _ in range(3):
        hit()
    assert hit(after=timedelta(minutes=20)) == timedelta(minutes=40)


@pytest.mark.django_db
def test_refused_tries_do_not_lengthen_the_wait() -> None:
    for _ in range(50):
        hit()
    assert hit(after=HOUR) is None


@pytest.mark.django_db
def test_keys_are_counted_apart() -> None:
    for _ in range(4):
        hit()
    assert hit("trial:203.0.113.10") is None


@pytest.mark.django_db
def test_a_key_of_any_length_and_content_counts() -> None:
    assert [hit("'; DROP TABLE core_fact; --" * 50) for _ in range(4)][-1] == HOUR


@pytest.mark.django_db(transaction=True)
def test_forty_at_once_share_the_limit_exactly() -> None:
    start = threading.Barrier(8)

    def client(_number: int) -> list[timedelta | None]:
        start.wait()
        try:
            return [hit() for _ in range(5)]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = [answer for each in threads.map(client, range(8)) for answer in each]
    assert (len(answers), answers.count(None)) == (40, 3)


@pytest.mark.django_db
def test_one_can_look_without_counting() -> None:
    looks = [ratelimit.is_used_up("trial:203.0.113.9", limit=3, now=NOW)]
    for _ in range(3):
        hit()
        looks.append(ratelimit.is_used_up("trial:203.0.113.9", limit=3, now=NOW))
    assert looks == [None, None, None, HOUR]
    assert ratelimit.is_used_up("trial:203.0.113.9", limit=3, now=NOW + HOUR) is None


@pytest.mark.django_db
def test_addresses_are_not_kept_when_their_time_is_over() -> None:
    hit("old")
    hit("new", after=HOUR)
    assert ratelimit.forget(now=NOW + HOUR) == 1
    assert list(RateCounter.objects.values_list("key", flat=True)) == ["new"]
