"""Django's PostgreSQL backend with a pool that hands out first what came back last, and with transactions that say on
whose behalf they are. See docs/decisions/0026 and 0031.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connections
from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import register_tzloader
from psycopg import Connection, OperationalError, ServerCursor
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg_pool import ConnectionPool

from parcelle.core import context

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

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        params["cursor_factory"] = _CURSORS[params["cursor_factory"]]
        return params

    def create_cursor(self, name: str | None = None) -> Any:
        if name is None:
            return super().create_cursor()
        kind: Any = _NamedCursor if self.settings_dict["OPTIONS"].get("server_side_binding") else _NamedClientCursor
        # Outside a transaction it is read after the one that it was made in.
        cursor = kind(self.connection, name=name, scrollable=False, withhold=self.connection.autocommit)
        known = self.connection.adapters.get_loader(base.TIMESTAMPTZ_OID, Format.TEXT)
        if self.timezone != known.timezone:
            register_tzloader(self.timezone, cursor)
        return cursor

    def _set_autocommit(self, autocommit: bool) -> None:
        super()._set_autocommit(autocommit)  # type: ignore[misc]
        opening = context.current().opening
        if not autocommit and opening:
            with self.wrap_database_errors:
                run(self.connection, b"BEGIN; " + opening)

    def tell(self, changed: context.Context) -> None:
        """In the middle of a transaction; the next one says it when it begins."""
        connection = self.connection
        if connection is None or connection.closed:
            return
        if connection.pgconn.transaction_status == TransactionStatus.INTRANS:
            run(connection, changed.change)


def _open() -> Iterable[DatabaseWrapper]:
    return (one for one in connections.all(initialized_only=True) if isinstance(one, DatabaseWrapper))


context.tell_through(_open)


def run(connection: Connection[Any], command: bytes) -> None:
    """Commands that take no values, in one message. Raises psycopg.Error."""
    result = connection.pgconn.exec_(command)
    if connection.pgconn.status == ConnStatus.BAD:
        raise OperationalError("the connection is lost")
    if result.status != ExecStatus.COMMAND_OK:
        raise error_from_result(result, encoding=connection.info.encoding)


class _OnBehalf:
    """A cursor whose statements outside a transaction get one of their own where it says on whose behalf it is."""

    connection: Connection[Any]

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        return self._alone(super().execute, *args, **kwargs)  # type: ignore[misc]

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        return self._alone(super().executemany, *args, **kwargs)  # type: ignore[misc]

    def _alone(self, statement: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        connection = self.connection
        if not connection.autocommit or connection.pgconn.transaction_status != TransactionStatus.IDLE:
            return statement(*args, **kwargs)
        opening = context.current().opening
        if not opening:
            return statement(*args, **kwargs)
        run(connection, b"BEGIN; " + opening)
        try:
            answer = statement(*args, **kwargs)
        except BaseException:
            if connection.pgconn.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
                run(connection, b"ROLLBACK")
            raise
        run(connection, b"COMMIT")
        return answer


class _Cursor(_OnBehalf, base.Cursor): ...


class _ServerBindingCursor(_OnBehalf, base.ServerBindingCursor): ...


class _NamedCursor(_OnBehalf, ServerCursor[Any]): ...


class _NamedClientCursor(_OnBehalf, base.ServerSideCursor): ...


_CURSORS = {base.Cursor: _Cursor, base.ServerBindingCursor: _ServerBindingCursor}


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
