"""Many who ask at once are served together, each with their own answer, and nobody waits for others to come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from parcelle.core.together import Together


def test_those_who_came_meanwhile_are_served_together() -> None:
    calls: list[list[int]] = []
    go_on = threading.Event()

    def serve(numbers: Sequence[int]) -> list[int]:
        if not calls:
            go_on.wait(60)
        calls.append(list(numbers))
        return [10 * number for number in numbers]

    async def ask() -> list[int]:
        together = Together(serve, most=4, name="test")
        first = asyncio.create_task(together.ask(0))
        await asyncio.sleep(0)
        others = [asyncio.create_task(together.ask(number)) for number in range(1, 8)]
        gone = asyncio.create_task(together.ask(8))
        await asyncio.sleep(0)
        gone.cancel()
        go_on.set()
        return [await one for one in (first, *others)]

    assert asyncio.run(ask()) == [10 * number for number in range(8)]
    assert calls == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]


def test_what_fails_fails_for_those_it_was_for() -> None:
    def serve(numbers: Sequence[int]) -> list[int]:
        if 1 in numbers:
            raise ArithmeticError("on purpose")
        return list(numbers)

    async def ask() -> None:
        together = Together(serve, most=4, name="test")
        with pytest.raises(ArithmeticError):
            await together.ask(1)
        assert await together.ask(2) == 2

    asyncio.run(ask())
