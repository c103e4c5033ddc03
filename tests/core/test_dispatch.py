"""Somebody outside who does not answer takes no more threads than they are given."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from parcelle.core.dispatch import Dispatcher, Piece, Source

pytestmark = pytest.mark.django_db(transaction=True)


def _things(number: int, act: Callable[[], None]) -> Callable[[int], Sequence[Piece]]:
    left = [act] * number

    def take(most: int) -> Sequence[Piece]:
        taken = left[:most]
        del left[:most]
        return taken

    return take


def test_a_source_has_no_more_threads_than_it_may_and_goes_on_when_one_is_free() -> None:
    lock, others_done, busy, most_at_once, done = threading.Lock(), threading.Event(), 0, 0, 0
    counter = threading.Semaphore(0)

    def slow() -> None:
        nonlocal busy, most_at_once, done
        with lock:
            busy += 1
            most_at_once = max(most_at_once, busy)
        others_done.wait(60)
        with lock:
            busy -= 1
            done += 1

    slow_ones = Source("slow", _things(10, slow), at_once=3)
    quick_ones = Source("quick", _things(10, counter.release))
    dispatcher = Dispatcher([slow_ones, quick_ones], threads=6)
    dispatcher.start()
    for _number in range(10):
        assert counter.acquire(timeout=60)
    others_done.set()
    dispatcher.drain()
    dispatcher.stop(seconds=60)
    dispatcher.end()
    assert (most_at_once, done) == (3, 10)
