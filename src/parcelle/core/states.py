"""State changes happen in one place: compare-and-set against a table of allowed transitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models

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
    rows = type(row)._base_manager.filter(pk=row.pk, state__in=sources)
    if not rows.update(state=to, **changes):
        raise IllegalTransition(row, to)
    for name, value in {"state": to, **changes}.items():
        setattr(row, name, value)
