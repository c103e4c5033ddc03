"""Live news from PostgreSQL: database triggers notify, pages listen.

One connection per web process listens on one channel and wakes everybody who waits for a topic, so ten
thousand open pages cost one database connection.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import structlog
from django.db import connection

logger = structlog.get_logger(__name__)

CHANNEL = "parcelle"


def connection_parameters() -> dict[str, Any]:
    """What a connection beside Django's needs, which listens for as long as its process lives."""
    wanted = {"dbname", "user", "password", "host", "port", "sslmode", "sslrootcert"}
    return {name: value for name, value in connection.get_connection_params().items() if name in wanted}


class _Hub:
    """The listening connection of one event loop, and who waits for what."""

    def __init__(self) -> None:
        self.waiting: dict[str, set[asyncio.Queue[str]]] = defaultdict(set)
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._listen())

    def _wake_everybody(self) -> None:
        # After a lost connection nobody knows what was missed: everyone looks again.
        for topic, queues in self.waiting.items():
            for queue in queues:
                queue.put_nowait(topic)

    async def _listen(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    **connection_parameters(), autocommit=True
                ) as listening:
                    await listening.execute(f"LISTEN {CHANNEL}")
                    self._wake_everybody()
                    async for notice in listening.notifies():
                        for queue in self.waiting.get(notice.payload, ()):
                            queue.put_nowait(notice.payload)
            except psycopg.Error as error:
                logger.warning("lost the listening connection", reason=type(error).__name__)
                await asyncio.sleep(1)


_hubs: dict[asyncio.AbstractEventLoop, _Hub] = {}


async def listen(*topics: str) -> AsyncIterator[str]:
    """Yields a topic each time something about it changed, until the caller stops iterating.

    Several changes in a row may be reported once: read the present state, never count.
    """
    hub = _hubs.setdefault(asyncio.get_running_loop(), _Hub())
    queue: asyncio.Queue[str] = asyncio.Queue()
    for topic in topics:
        hub.waiting[topic].add(queue)
    hub.start()
    try:
        while True:
            news = {await queue.get()}
            while not queue.empty():
                news.add(queue.get_nowait())
            for topic in news:
                yield topic
    finally:
        for topic in topics:
            hub.waiting[topic].discard(queue)
            if not hub.waiting[topic]:
                del hub.waiting[topic]
