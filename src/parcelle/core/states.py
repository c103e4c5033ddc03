"""State changes happen in one place: compare-and-set against a table of allowed transitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, models

Transitions = Mapping[str, frozenset[str]]


class IllegalTransition(Exception):
    """The row was not in a state from which it may go to the wanted one (also when somebody else was faster)."""

    def __init__(self, row: models.Model, to: str) -> None:
        self.row = row
        self.to = to
        super().__init__(f"{row._meta.label} {row.pk} may not become {to!r}")


def move(row: models.Model, to: str, *, table: Transitions, **changes: Any) -> None:
    """Sets `row.state` to `to`, with `changes`, if the state stored now allows it.

    Raises IllegalTransition otherwise and leaves the row as it is. The given object is updated in memory.
    """
    sources = [state for state, targets in table.items() if to in targets]
    values = {"state": to, **changes}
    if not sources or not _set(row, values, sources):
        raise IllegalTransition(row, to)
    for name, value in values.items():
        setattr(row, name, value)


def _set(row: models.Model, values: Mapping[str, Any], sources: Sequence[str]) -> bool:
    # Written out: everything that happens goes through here, and the query compiler would take as long as the database.
    meta, quoted = row._meta, connection.ops.quote_name
    columns, parameters = [], []
    for name, value in values.items():
        field = meta.get_field(name)
        assert isinstance(field, models.Field)
        plain = value.pk if isinstance(value, models.Model) else value
        columns.append(f"{quoted(str(field.column))} = %s")
        parameters.append(field.get_db_prep_save(plain, connection))
    key = meta.pk
    assert key is not None
    statement = (
        f"UPDATE {quoted(meta.db_table)} SET {', '.join(columns)} "  # noqa: S608 names of our own tables
        f"WHERE {quoted(str(key.column))} = %s AND state = ANY(%s)"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, key.get_db_prep_value(row.pk, connection), list(sources)])
        return bool(cursor.rowcount)
