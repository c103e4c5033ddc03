"""Counting in PostgreSQL, so that the limit holds across all web processes."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from parcelle.core.models import RateCounter


def hit(key: str, *, limit: int, window: timedelta, now: datetime) -> timedelta | None:
    """Counts one use of `key`; None while it is within `limit`, otherwise how long to wait.

    One atomic statement: two callers at once never share a count.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO core_ratecounter AS counter (key, window_ends_at, count) VALUES (%(key)s, %(ends)s, 1)
            ON CONFLICT (key) DO UPDATE SET
                count = CASE WHEN counter.window_ends_at <= %(now)s THEN 1 ELSE counter.count + 1 END,
                window_ends_at = CASE WHEN counter.window_ends_at <= %(now)s
                                      THEN excluded.window_ends_at ELSE counter.window_ends_at END
            RETURNING count, window_ends_at
            """,
            {"key": key[:200], "now": now, "ends": now + window},
        )
        count, ends_at = cursor.fetchone()
    return ends_at - now if count > limit else None


def is_used_up(key: str, *, limit: int, now: datetime) -> timedelta | None:
    """How long to wait before `key` may be used again; None while its limit is not reached. Counts nothing."""
    counter = RateCounter.objects.filter(key=key[:200], count__gte=limit, window_ends_at__gt=now).first()
    return counter.window_ends_at - now if counter else None


def forget(*, now: datetime) -> int:
    """Deletes counters whose time is over; how many there were. Their keys hold addresses."""
    return RateCounter.objects.filter(window_ends_at__lte=now).delete()[0]
