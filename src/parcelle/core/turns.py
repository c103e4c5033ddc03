"""Taking turns across all processes of an installation, where an outside system can do one thing at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.db import DatabaseError, connection


@contextlib.contextmanager
def turn(name: str) -> Iterator[bool]:
    """Whether `name` was free; if so it is ours until the block ends, or this process does.

    The lock lives in a database connection of its own: not in a transaction, because what it guards is network, and
    not in the thread's connection, which others may close.
    """
    mine = connection.copy()
    free = False
    try:
        with mine.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 17))", [name])
            free = bool((cursor.fetchone() or (False,))[0])
        yield free
    finally:
        with contextlib.suppress(DatabaseError):
            if free:
                with mine.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 17))", [name])
        with contextlib.suppress(DatabaseError):
            mine.close()
