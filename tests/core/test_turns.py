"""Taking turns holds between processes and ends with the one whose turn it was."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from parcelle.core.turns import turn

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_turn_is_one_process_or_thread_at_a_time() -> None:
    with turn("server a") as first, turn("server b") as other, turn("server a") as second:
        assert (first, other, second) == (True, True, False)
    with turn("server a") as again:
        assert again


def test_a_turn_ends_with_an_error_inside_it() -> None:
    with pytest.raises(KeyError), turn("server a"):
        raise KeyError
    with turn("server a") as again:
        assert again


def test_a_turn_does_not_hang_on_the_threads_own_connection() -> None:
    with turn("server a") as mine:
        assert mine
        connection.close()
        with turn("server a") as theirs:
            assert not theirs
    with turn("server a") as again:
        assert again


def test_a_turn_is_seen_from_another_thread() -> None:
    found: list[bool] = []

    def look() -> None:
        with turn("server a") as free:
            found.append(free)
        connection.close()

    with turn("server a"), transaction.atomic():
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert found == [False]
