"""Storing a row unless somebody was faster, and reading rows of which one may be unreadable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import structlog
from django.db import DEFAULT_DB_ALIAS, connection, connections, models

from parcelle.core.crypto import CannotDecrypt

logger = structlog.get_logger(__name__)


def insert(row: models.Model) -> None:
    """Stores a new row that has its key or gets it from the database. Raises IntegrityError.

    What `save` does for a row that is new for certain, without its signals, in a third of the time.
    """
    numbered = row.pk is None
    (key,) = _insert([row], otherwise="")
    if numbered:
        row.pk = key
    row._state.adding, row._state.db = False, connection.alias


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


def _insert(rows: Sequence[models.Model], *, otherwise: str = "ON CONFLICT DO NOTHING") -> list[Any]:
    """The primary keys of those that were stored. All have one, or all get theirs from the database.

    The statement is made once per table and not compiled each time; values that are expressions are not for here.
    """
    fields, head, key = _statement(type(rows[0]), rows[0].pk is None)
    # Found once: for every value of every row anew it was a fifth of the time of this.
    database = connections[DEFAULT_DB_ALIAS]
    parameters: list[Any] = []
    for row in rows:
        for field in fields:
            value = field.pre_save(row, add=True)
            setattr(row, field.attname, value)
            parameters.append(field.get_db_prep_save(value, database))
    places = f"({', '.join(['%s'] * len(fields))})"
    with database.cursor() as cursor:
        cursor.execute(f"{head} VALUES {', '.join([places] * len(rows))} {otherwise} RETURNING {key}", parameters)
        return [row[0] for row in cursor.fetchall()]


@cache
def _statement(model: type[models.Model], numbered: bool) -> tuple[list[Any], str, str]:
    """The fields that are written, the beginning of the statement, and the key's column."""
    meta, quoted = model._meta, connection.ops.quote_name
    fields = [f for f in meta.concrete_fields if not f.generated and not (numbered and f is meta.pk)]
    columns = ", ".join(quoted(str(field.column)) for field in fields)
    assert meta.pk is not None
    return fields, f"INSERT INTO {quoted(meta.db_table)} ({columns})", quoted(str(meta.pk.column))


def as_json(rows: Iterable[models.Model], columns: Sequence[str]) -> str:
    """Several rows as one value for `json_to_recordset`: the driver needs much longer for an array for each column."""
    return json.dumps([{name: getattr(row, name) for name in columns} for row in rows], default=str)


def readable[Row](read: Callable[[list[Any]], Iterable[Row]], keys: Iterable[Any], *, of: str) -> list[Row]:
    """What `read` finds for these keys; a row whose secrets cannot be opened is logged and left out, the others not.

    `of` is what the rows are, for the log.
    """
    keys = list(keys)
    if not keys:
        return []
    try:
        return list(read(keys))
    except CannotDecrypt:
        if len(keys) == 1:
            logger.exception("a row cannot be read", of=of, key=str(keys[0]))
            return []
        return [row for key in keys for row in readable(read, [key], of=of)]
