"""Idempotency keys: a request that is repeated is done once and answered alike, whichever process is asked.

A key belongs to a scope (a token). It is taken before anything is done, so that of two at once one waits. Only an
answer that had an effect is kept: after a refusal the key is free again, and a corrected request may use it. Who
died between the effect and the answer leaves the key to the next one, so what is done must itself be safe to
repeat under the same key.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from parcelle.core.models import KeptAnswer

KEPT_FOR = timedelta(hours=24)
# Longer than any request takes, with the time-outs of what it asks outside.
_AT_WORK = timedelta(seconds=120)
# How long a repetition waits for the first one, and how often it looks.
_PATIENCE, _PAUSE = 5.0, 0.05


class KeyReused(Exception):
    """The key came with another request before."""


class InProgress(Exception):
    """The same request is being answered right now."""


@dataclass(frozen=True)
class Kept:
    """What the first request was answered, as it was kept."""

    answer: dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """Who does it; ends with `keep` or `free`."""

    scope: UUID
    key: str
    until: datetime

    def keep(self, answer: dict[str, Any]) -> None:
        """The answer that every repetition gets from now on."""
        self._mine().update(answer=answer)

    def free(self) -> None:
        """Nothing was done: the key can be used for anything."""
        self._mine().delete()

    def leave(self, *, now: datetime) -> None:
        """Nobody knows how far it came: whoever repeats the same request does it again."""
        self._mine().update(taken_until=now)

    def _mine(self) -> QuerySet[KeptAnswer]:
        return KeptAnswer.objects.filter(scope=self.scope, key=self.key, taken_until=self.until, answer=None)


_TAKE = """
    INSERT INTO core_keptanswer AS kept (scope, key, digest, taken_until, expires_at)
    VALUES (%(scope)s, %(key)s, %(digest)s, %(until)s, %(expires)s)
    ON CONFLICT (scope, key) DO UPDATE SET
        digest = excluded.digest, taken_until = excluded.taken_until, expires_at = excluded.expires_at, answer = NULL
    WHERE kept.expires_at <= %(now)s
        OR (kept.answer IS NULL AND kept.taken_until <= %(now)s AND kept.digest = excluded.digest)
    RETURNING id
"""


def take(scope: UUID, key: str, digest: str, *, now: datetime) -> Turn | Kept:
    """A Turn for whoever comes first, the kept answer for whoever repeats. Raises KeyReused and InProgress.

    `digest` stands for the request. Call it with no transaction open.
    """
    give_up = time.monotonic() + _PATIENCE
    while True:
        turn = Turn(scope, key, now + _AT_WORK)
        values: dict[str, Any] = {"scope": scope, "key": key, "digest": digest, "now": now}
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, {**values, "until": turn.until, "expires": now + KEPT_FOR})
            if cursor.fetchone():
                return turn
        kept = KeptAnswer.objects.filter(scope=scope, key=key).first()
        if kept is not None and kept.digest != digest:
            raise KeyReused
        if kept is not None and kept.answer is not None:
            return Kept(kept.answer)
        if time.monotonic() >= give_up:
            raise InProgress
        time.sleep(_PAUSE)


def forget(*, now: datetime) -> int:
    """Deletes what has expired; how many there were."""
    return KeptAnswer.objects.filter(expires_at__lte=now).delete()[0]
