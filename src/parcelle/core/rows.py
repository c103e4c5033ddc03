"""Storing a row unless somebody was faster, and reading rows of which one may be unreadable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from django.db import connection, models
from django.db.models import sql
from django.db.models.constants import OnConflict

from parcelle.core.crypto import CannotDecrypt

logger = structlog.get_logger(__name__)


def insert_unless_taken(row: models.Model) -> bool:
    """Stores a new row; false, and nothing stored, when a unique value of it is taken.

    Waits for a transaction that is about to take the same value. Unlike an IntegrityError, "taken" leaves the
    caller's transaction usable. A row without a primary key gets its own from the database.
    """
    numbered = row.pk is None
    found = _insert([row])
    stored = bool(found)
    if stored and numbered:
        row.pk = found[0]
    row._state.adding = not stored
    row._state.db = connection.alias if stored else None
    return stored


def insert_those_not_taken(rows: Sequence[models.Model]) -> int:
    """Stores new rows of one table with one statement, without those of which a unique value is taken; how many.

    Whoever stores several at once brings them into the same order first, or two could wait for each other.
    """
    return len(_insert(rows)) if rows else 0


def _insert(rows: Sequence[models.Model]) -> list[Any]:
    """The primary keys of those that were stored. All have one, or all get theirs from the database."""
    key = rows[0]._meta.pk
    numbered = rows[0].pk is None
    fields = [f for f in rows[0]._meta.concrete_fields if not f.generated and not (numbered and f is key)]
    for row in rows:
        for field in fields:
            setattr(row, field.attname, field.pre_save(row, add=True))
    query = sql.InsertQuery(type(rows[0]), on_conflict=OnConflict.IGNORE)
    query.insert_values(fields, list(rows), raw=True)
    ((statement, parameters),) = query.get_compiler(connection=connection).as_sql()
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} RETURNING {connection.ops.quote_name(str(key.column))}", parameters)
        return [row[0] for row in cursor.fetchall()]


def readable[Row: models.Model](rows: models.QuerySet[Row], keys: Iterable[Any]) -> list[Row]:
    """The rows with these keys; one whose secrets cannot be opened is logged and left out, the others are not."""
    keys = list(keys)
    if not keys:
        return []
    try:
        return list(rows.filter(pk__in=keys))
    except CannotDecrypt:
        if len(keys) == 1:
            logger.exception("a row cannot be read", table=rows.model._meta.label, key=str(keys[0]))
            return []
        return [row for key in keys for row in readable(rows, [key])]
