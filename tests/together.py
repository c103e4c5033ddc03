"""Many threads, each with a database connection of its own, that begin the same thing at the same moment."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection


@dataclass(frozen=True)
class Outcome[T]:
    """What came of it: the results, and the exceptions of those who did not get one."""

    results: list[T]
    errors: list[Exception]

    def all(self) -> list[T]:
        """The results, when everybody has one."""
        if self.errors:
            raise ExceptionGroup("not everybody succeeded", self.errors)
        return self.results


def at_once[T](acts: Sequence[Callable[[], T]]) -> Outcome[T]:
    """Calls each in a thread of its own, none before all are ready."""
    ready = threading.Barrier(len(acts))
    results: list[T] = []
    errors: list[Exception] = []

    def run(act: Callable[[], T]) -> None:
        ready.wait(30)
        try:
            results.append(act())
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "somebody waits for ever"
    return Outcome(results, errors)


def meeting(act: Callable[..., Any], *, of: int = 2, seconds: float = 30) -> Callable[..., Any]:
    """The same, but the first callers return from it together: none acts on what it saw before `of` have looked.

    However fast or slow the machine is, they fall into the gap that a lock would close. Later callers do not wait.
    """
    count = itertools.count(1)
    all_here = threading.Event()

    def together(*arguments: Any, **named: Any) -> Any:
        result = act(*arguments, **named)
        if next(count) >= of:
            all_here.set()
        assert all_here.wait(seconds), "nobody else came"
        return result

    return together
