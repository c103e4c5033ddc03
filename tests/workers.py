"""Background workers for tests: real processes that can be killed, forked from one that has imported everything.

`parcelle worker` spends a second on imports before it does anything; a fork of a prepared process does not.
What runs in it is the same: the sweeper, the queue's worker, the runner, the providers.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from unittest import mock

# Not the schedule: what the clock starts would make two runs differ.
QUEUES = ["operations", "reactions", "messages"]

_context = multiprocessing.get_context("forkserver")


def prepare(environment: Mapping[str, str]) -> None:
    """Starts the process that workers are forked from; from here on `environment` is theirs."""
    stop()
    checkout = str(Path(__file__).parents[1])
    with mock.patch.dict(os.environ, {**environment, "PYTHONPATH": checkout}):
        _context.set_forkserver_preload(["tests.workers_imports"])
        forkserver.ensure_running()


def stop() -> None:
    """Ends it; the standard library keeps it for the life of the process otherwise."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Worker:
    """One worker process. It hands over what a dead one left, does all that is due, and ends."""

    process: ForkServerProcess

    @classmethod
    def start(cls, log: Path, *, crash_at: str = "", mark: Path | None = None) -> Worker:
        """`crash_at` names the point where SIGKILL awaits it; `mark` is the file that remembers the kill."""
        environment = {"PARCELLE_CRASH_AT": crash_at, "PARCELLE_CRASH_MARK": str(mark)} if crash_at else {}
        process = _context.Process(target=_work, args=(log, environment), daemon=True)
        process.start()
        return cls(process)

    def end(self, *, seconds: float = 60) -> int:
        """Its exit code, once it ended by itself; negative is the signal that killed it."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"the worker did not end within {seconds} s")
        return self.process.exitcode


def _work(log: Path, environment: dict[str, str]) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    os.environ.update(environment)
    from tests import workers_imports

    asyncio.run(workers_imports.work(QUEUES))
