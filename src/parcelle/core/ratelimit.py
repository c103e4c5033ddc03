"""Counting in PostgreSQL, so that the limit holds across all web processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from parcelle.core.models import RateCounter


@dataclass(frozen=True)
class Use:
    """How often something was done in this window of time, this time included."""

    count: int
    limit: int
    resets_in: timedelta

    @property
    def wait(self) -> timedelta | None:
        """None while it is within the limit, otherwise how long to wait."""
        return self.resets_in if self.count > self.limit else None

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.count)


def hit(key: str, *, limit: int, window: timedelta, now: datetime) -> timedelta | None:
    """Counts one use of `key`; None while it is within `limit`, otherwise how long to wait."""
    return use(key, limit=limit, window=window, now=now).wait


def use(key: str, *, limit: int, window: timedelta, now: datetime) -> Use:
    """Counts one use of `key`.

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
    return Use(count=count, limit=limit, resets_in=ends_at - now)


def is_used_up(key: str, *, limit: int, now: datetime) -> timedelta | None:
    """How long to wait before `key` may be used again; None while its limit is not reached. Counts nothing."""
    counter = RateCounter.objects.filter(key=key[:200], count__gte=limit, window_ends_at__gt=now).first()
    return counter.window_ends_at - now if counter else None


def forget(*, now: datetime) -> int:
    """Deletes counters whose time is over; how many there were. Their keys hold addresses."""
    return RateCounter.objects.filter(window_ends_at__lte=now).delete()[0]
