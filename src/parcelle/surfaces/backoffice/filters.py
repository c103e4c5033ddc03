"""Filters of lists that do not search the table for what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise

from parcelle.surfaces.backoffice.base import lean

Choices = Iterable[tuple[str, str | Promise]]


def by_code(field: str, title: str | Promise, choices: Callable[[], Choices]) -> type[admin.SimpleListFilter]:
    """A filter over the codes that a column can hold, with their words."""

    class Codes(admin.SimpleListFilter):
        parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
            return list(choices())

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{field: self.value()}) if self.value() else queryset

    Codes.title = title  # type: ignore[assignment]
    return Codes


class RelatedFilter(admin.RelatedFieldListFilter):
    """The choices of a filter in one question; rows say their names with the help of others."""

    related: Sequence[str] = ()

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        rows = lean(field.remote_field.model._default_manager.all(), *self.related)
        ordering = self.field_admin_ordering(field, request, model_admin)
        return [(row.pk, str(row)) for row in rows.order_by(*ordering)]
