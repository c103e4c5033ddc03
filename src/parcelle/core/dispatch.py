"""Work that is rows of ours: taken in batches, each piece done in a thread, without a job in the queue for each.

A source knows which of its rows are due, takes their leases and says what is to be done. An idle worker is woken
by the transaction that wrote a row; should that news get lost, it looks by itself a second later. What a dead
worker had taken is due again when its lease has run out. See docs/decisions/0009-work-that-is-rows.md.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import psycopg
import structlog
from django.db import DatabaseError, connection, connections

from parcelle.core import notify

logger = structlog.get_logger(__name__)

CHANNEL = "parcelle_work"
POLL_SECONDS = 1.0
# How often one process wakes workers for one source in a rush.
WAKE_SECONDS = 0.25
# While more is due than there are threads: how long to let threads become free, so that one query serves several.
GATHER_SECONDS = 0.1
# So many threads are not for the first source: however much of it there is, the others get on as well. But slowly:
# while more of it keeps coming they are looked at once in POLL_SECONDS, for so many pieces.
SPARE = 2

Piece = Callable[[], None]


@dataclass(frozen=True)
class Source:
    """`take(most)` returns up to `most` pieces of work; nobody else is given them while their leases hold.

    Each piece deals with its own failures; what it raises is only logged. No more than `at_once` of them are done at
    a time by one worker: somebody outside who does not answer holds up no other work.
    """

    name: str
    take: Callable[[int], Sequence[Piece]]
    at_once: int | None = None


def wake(source: str) -> None:
    """Tells idle workers that `source` has something due, when the caller's transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, source])


_woken_at: dict[str, float] = {}


def wake_now_and_then(source: str) -> None:
    """The same for work that comes in a rush: its first piece wakes workers, and the others are found with it.

    Should they be too late for that, a worker looks by itself in a second.
    """
    now = time.monotonic()
    if now >= _woken_at.get(source, now - WAKE_SECONDS) + WAKE_SECONDS:
        _woken_at[source] = now
        wake(source)


class Dispatcher:
    """Takes from the sources, the more important first, and keeps up to `threads` pieces of work going."""

    def __init__(self, sources: Sequence[Source], *, threads: int) -> None:
        self.sources = sources
        self.threads = threads + SPARE
        self.pieces: SimpleQueue[tuple[Source, Piece] | None] = SimpleQueue()
        self.changed = threading.Condition()
        self.busy = 0
        self.busy_with: Counter[Source] = Counter()
        # When the rush of the first source is over, and when each of the others was looked at last.
        self.rush_until = 0.0
        self.looked_at: dict[str, float] = defaultdict(float)
        self.news = False
        self.stopping = False
        for number in range(self.threads):
            self._thread(self._work, f"work-{number}")

    def start(self) -> None:
        """Looks after the sources from now on, in threads that end with the process at the latest."""
        self._thread(self._listen, "work-news")
        self._thread(self._attend, "work-dispatcher")

    def stop(self, *, seconds: float) -> None:
        """Takes nothing more, and gives what is being done so long to end; the rest can be resumed by others."""
        with self.changed:
            self.stopping = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.busy, timeout=seconds)

    def drain(self) -> bool:
        """Does all that is due, also what comes of it; false when there was nothing."""
        some = False
        while True:
            idle = not self.busy
            found, _more = self._take(hurry=True)
            some = some or bool(found)
            if idle and not found:
                return some
            with self.changed:
                if self.busy:
                    self.changed.wait(POLL_SECONDS)

    def end(self) -> None:
        """Lets the threads go."""
        for _number in range(self.threads):
            self.pieces.put(None)

    @staticmethod
    def _thread(target: Callable[[], None], name: str) -> None:
        threading.Thread(target=target, name=name, daemon=True).start()

    # --- taking ---------------------------------------------------------------------------------------------

    def _attend(self) -> None:
        while not self.stopping:
            try:
                self.news = False
                _found, more = self._take()
            except DatabaseError as error:
                logger.warning("no work can be taken", reason=type(error).__name__)
                more = False
            except Exception:
                logger.exception("no work can be taken")
                more = False
            finally:
                connection.close()
            with self.changed:
                if more:
                    seconds = GATHER_SECONDS if self._room() > SPARE else POLL_SECONDS
                    self.changed.wait_for(lambda: self.stopping or self._has_room(), timeout=seconds)
                else:
                    self.changed.wait_for(lambda: self.stopping or self.news, timeout=POLL_SECONDS)

    def _has_room(self) -> bool:
        return self.busy <= self.threads * 3 // 4

    def _take(self, *, hurry: bool = False) -> tuple[int, bool]:
        """Begins what is due; how much that is, and whether there may be more than there are threads.

        With `hurry` nothing is put off.
        """
        found, more, now = 0, False, time.monotonic()
        for source in self.sources:
            first = source is self.sources[0]
            rush = not first and not hurry and now < self.rush_until
            if rush and now < self.looked_at[source.name] + POLL_SECONDS:
                continue
            self.looked_at[source.name] = now
            room = self._room()
            number, left = self._take_from(source, room - SPARE if first else min(room, SPARE) if rush else room)
            if first and number:
                self.rush_until = now + POLL_SECONDS
            found, more = found + number, more or (left and not rush)
        return found, more

    def _take_from(self, source: Source, most: int) -> tuple[int, bool]:
        if source.at_once is not None:
            allowed = source.at_once - self.busy_with[source]
            # The end of one of its pieces is news enough to look again.
            most, waits = min(most, allowed), allowed <= most
        else:
            waits = False
        pieces = source.take(most) if most > 0 else ()
        with self.changed:
            self.busy += len(pieces)
            self.busy_with[source] += len(pieces)
        for piece in pieces:
            self.pieces.put((source, piece))
        return len(pieces), len(pieces) >= most and not waits

    def _room(self) -> int:
        return self.threads - self.busy

    def _listen(self) -> None:
        while True:
            try:
                with psycopg.connect(**notify.connection_parameters(), autocommit=True) as listening:
                    listening.execute(f"LISTEN {CHANNEL}")
                    self._has_news()
                    for _notice in listening.notifies():
                        self._has_news()
            except psycopg.Error:
                time.sleep(POLL_SECONDS)

    def _has_news(self) -> None:
        with self.changed:
            if not self.news:
                self.news = True
                self.changed.notify_all()

    # --- working --------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (todo := self.pieces.get()) is not None:
            source, piece = todo
            try:
                piece()
            except Exception:
                logger.exception("a piece of work failed")
            finally:
                connections.close_all()
                with self.changed:
                    self.busy -= 1
                    self.news = self.news or self.busy_with[source] == source.at_once
                    self.busy_with[source] -= 1
                    self.changed.notify_all()
