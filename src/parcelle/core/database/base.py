"""Django's PostgreSQL backend with a pool that hands out first what came back last. See docs/decisions/0026."""

from __future__ import annotations

import select
import time
from collections import deque
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection
from psycopg_pool import ConnectionPool

# A connection that was asked so recently and of which nothing was heard since is taken for a good one.
SURE_SECONDS = 5.0


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection knows its tables and its plans; one that rested has to learn what another one knows already."""

    @property
    def pool(self) -> ConnectionPool[Connection[Any]] | None:
        """The pool of this process for this database; None where there is none."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if options:
            options.setdefault("check", check)
        pool: ConnectionPool[Connection[Any]] | None = super().pool
        if pool is not None and not isinstance(pool._pool, _LastFirst):
            with pool._lock:
                pool._pool = _LastFirst(pool._pool)
        return pool


class _LastFirst(deque[Any]):
    """The pool takes from the left and adds at the right."""

    def append(self, connection: Any, /) -> None:
        self.appendleft(connection)


def check(connection: Connection[Any]) -> None:
    """Raises psycopg.OperationalError for a connection that is of no use any more, such as one of before a restart.

    A server that goes says so or closes its end: only where there is something to be read, or where that was long ago,
    is it asked. Asking for every piece of work would be an eighth of all that PostgreSQL is asked.
    """
    now = time.monotonic()
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if poll.poll(0) or now > getattr(connection, "_checked_at", 0.0) + SURE_SECONDS:
        ConnectionPool.check_connection(connection)
        connection._checked_at = now  # type: ignore[attr-defined]
