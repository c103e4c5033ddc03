"""Facts: a lower floor records what happened; `journeys/reactions.py` says who cares.

An event is a frozen dataclass named in the past tense. Fields called `organization_id`, `instance_id` and
`operation_id` become columns of the stored fact, the others its `data`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, dataclass_transform
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from procrastinate.contrib.django import app as queue

from parcelle.core import dispatch
from parcelle.core.compiled import Compiled, any_of
from parcelle.core.leases import Leases
from parcelle.core.models import Fact
from parcelle.core.models import Reaction as Wanted

logger = structlog.get_logger(__name__)

SOURCE = "reactions"
# A reaction that failed is tried again after so long; how often is the queue's business, see `core/tasks`.
RETRY_SECONDS = 3

Reaction = Callable[[Fact], None]

_COLUMNS = ("organization_id", "instance_id", "operation_id")
_event_names: dict[type, str] = {}
_reactions: dict[str, dict[str, Reaction]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def event[T](cls: type[T]) -> type[T]:
    """Declares an event: a frozen, keyword-only dataclass stored under its class name."""
    frozen = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    if cls.__name__ in _event_names.values():
        raise TypeError(f"Two events are called {cls.__name__}")
    _event_names[frozen] = cls.__name__
    return frozen


def names() -> list[str]:
    """The names of every event that is declared, sorted."""
    return sorted(_event_names.values())


def react(to: type, *functions: Reaction) -> None:
    """Registers functions to be called, each on its own, after an event of this type was committed."""
    known = _reactions.setdefault(_event_names[to], {})
    for function in functions:
        known[f"{function.__module__}.{function.__qualname__}"] = function


# One statement for the facts and who has to react to them. They are numbered in the order in which they are given.
_RECORD = """
    WITH told AS MATERIALIZED (
        SELECT nextval(pg_get_serial_sequence('core_fact', 'id')) AS id, fact.*
        FROM json_to_recordset(%s::json) AS fact (
            number int, name text, at timestamptz, actor text, organization_id uuid, instance_id uuid,
            operation_id uuid, data jsonb, reactions text[]
        )
    ), stored AS (
        INSERT INTO core_fact (id, name, at, actor, organization_id, instance_id, operation_id, data)
        SELECT id, name, at, actor, organization_id, instance_id, operation_id, data FROM told
    ), wanted AS (
        INSERT INTO core_reaction (fact_id, function)
        SELECT told.id, reaction.function FROM told, unnest(told.reactions) AS reaction (function)
        RETURNING pg_notify(%s, %s)
    )
    SELECT id, (SELECT count(*) FROM wanted) FROM told ORDER BY number
"""
_kept: ContextVar[list[Fact] | None] = ContextVar("facts kept for later", default=None)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Facts recorded inside are stored by one statement at its end, in the transaction that is open around it.

    They have no number before that, and a part of it that is rolled back alone would leave its facts behind.
    """
    kept: list[Fact] = []
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
    _store(kept)


def record(happened: Any, *, now: datetime, actor: str = "system") -> Fact:
    """Stores the fact and who has to react to it, in the caller's transaction."""
    values = {field.name: getattr(happened, field.name) for field in dataclasses.fields(happened)}
    columns = {name: values.pop(name) for name in _COLUMNS if name in values}
    fact = Fact(
        name=_event_names[type(happened)],
        at=now,
        actor=actor,
        data={name: _plain(value) for name, value in values.items()},
        **columns,
    )
    kept = _kept.get()
    if kept is None:
        _store([fact])
    else:
        kept.append(fact)
    return fact


def _store(facts: Sequence[Fact]) -> None:
    if not facts:
        return
    told = [
        {
            "number": number,
            **{name: getattr(fact, name) for name in ("name", "at", "actor", *_COLUMNS, "data")},
            "reactions": list(_reactions.get(fact.name, ())),
        }
        for number, fact in enumerate(facts)
    ]
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, [json.dumps(told, default=_plain), dispatch.CHANNEL, SOURCE])
        for fact, (key, _wanted) in zip(facts, cursor.fetchall(), strict=True):
            fact.pk = key
            fact._state.adding, fact._state.db = False, connection.alias


def _plain(value: Any) -> Any:
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value


# --- delivering ---------------------------------------------------------------------------------------------

_TAKE = """
    UPDATE core_reaction SET taken_until = %(until)s WHERE id = ANY(ARRAY(
        SELECT id FROM core_reaction WHERE taken_until IS NULL OR taken_until < %(now)s
        ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED))
    RETURNING id, fact_id, function
"""
_facts = Compiled(lambda: Fact.objects.filter(any_of("id", "keys")))


def take(most: int) -> Sequence[dispatch.Piece]:
    """Up to `most` reactions that are due, each for a thread of its own."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"now": now, "until": _lease_end(now), "most": most})
        rows = cursor.fetchall()
    facts = {fact.pk: fact for fact in _facts(keys=[fact_id for _id, fact_id, _function in rows])} if rows else {}
    return [partial(_deliver, row_id, facts[fact_id], name) for row_id, fact_id, name in rows if fact_id in facts]


def _deliver(row_id: int, fact: Fact, function: str) -> None:
    with _leases.kept(row_id):
        try:
            _call(fact, function)
        except Exception:
            logger.exception("reaction failed", fact_id=fact.pk, function=function)
            with transaction.atomic():
                queue.configure_task("core.react", queue=SOURCE, schedule_in={"seconds": RETRY_SECONDS}).defer(
                    fact_id=fact.pk, function=function
                )
                _forget(row_id)
        else:
            _forget(row_id)


def _forget(row_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM core_reaction WHERE id = %s", [row_id])


def run_reaction(*, fact_id: int, function: str) -> None:
    """Calls one registered reaction for one stored fact. A reaction must be safe to run twice."""
    _call(Fact.objects.get(pk=fact_id), function)


def _call(fact: Fact, function: str) -> None:
    reaction = _reactions.get(fact.name, {}).get(function)
    if reaction is None:
        raise LookupError(f"{function} no longer reacts to {fact.name}")
    reaction(fact)


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.OPERATION_LEASE_SECONDS)


def _renew(held: list[tuple[Any, str]]) -> None:
    Wanted.objects.filter(pk__in=[row_id for row_id, _holder in held]).update(taken_until=_lease_end(timezone.now()))


_leases = Leases(_renew)
