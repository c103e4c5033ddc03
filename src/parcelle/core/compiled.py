"""Queries that are compiled once and asked again with other values.

For what is read in every sign-up and by every step: there compiling a query takes Django longer than PostgreSQL needs
to answer it. Everywhere else an ordinary queryset is the better choice. See docs/decisions/0024.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db import connection, models
from django.db.models.expressions import Expression, Func


class Given(Expression):
    """Stands in a filter for the value of this name. The value must be what the driver takes: it is not converted."""

    def __init__(self, name: str) -> None:
        super().__init__(output_field=models.TextField())
        self.name = name

    def as_sql(self, _compiler: Any, _connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


def any_of(column: str, name: str) -> Func:
    """A condition for `filter`: the column is one of a list that is given later."""
    # Written like this because a lookup would put brackets around ANY.
    return Func(
        column, Given(name), template="%(expressions)s)", arg_joiner=" = ANY(", output_field=models.BooleanField()
    )


class Compiled[Row]:
    """`make` builds the queryset, with `Given` where values come later; calling it with them returns the rows.

    What the queryset has besides its statement, such as `prefetch_related`, is compiled each time.
    """

    def __init__(self, make: Callable[[], models.QuerySet[Any, Row]]) -> None:
        self.make = make

    @cached_property
    def _compiled(self) -> tuple[models.QuerySet[Any, Row], Any, str, tuple[Any, ...], dict[int, Any]]:
        rows = self.make()
        compiler = rows.query.get_compiler(using=connection.alias)
        statement, parameters = compiler.as_sql()
        converters = compiler.get_converters([column for column, *_names in compiler.select[: compiler.col_count]])
        return rows, compiler, statement, tuple(parameters), converters

    def __call__(self, **values: Any) -> list[Row]:
        rows, compiler, statement, parameters, converters = self._compiled
        bound = tuple(values[each.name] if isinstance(each, Given) else each for each in parameters)
        # A compiler and a query of our own for each time: other threads ask as well.
        asking: Any = copy.copy(compiler)
        asking.connection = connection
        asking.as_sql = lambda *_args, **_kwargs: (statement, bound)
        asking.get_converters = lambda _columns: converters
        asked: Any = rows.all()
        asked.query.get_compiler = lambda *_args, **_kwargs: asking
        return list(asked)

    def first(self, **values: Any) -> Row | None:
        """The first of the rows, or None."""
        return next(iter(self(**values)), None)
