"""Lists that are read part by part."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Query

from parcelle.surfaces.api.problems import Problem

Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Offset = Annotated[int, Query(ge=0, le=10_000_000, description="How many to pass over.")]


def part[Row: Model](
    rows: QuerySet[Row], *, path: str, limit: int, offset: int, filters: Mapping[str, Any]
) -> tuple[list[Row], dict[str, Any]]:
    """The rows of one part, and what the answer says about it: two queries, however long the list is."""
    count = rows.count()
    following = None
    if offset + limit < count:
        kept = {name: value for name, value in filters.items() if value is not None}
        following = f"{settings.PUBLIC_URL}{path}?{urlencode({'limit': limit, 'offset': offset + limit, **kept})}"
    return list(rows[offset : offset + limit]), {"count": count, "limit": limit, "offset": offset, "next": following}


def refuse_unknown_parameters(request: HttpRequest, known: Collection[str]) -> None:
    """A misspelt filter must not answer with everything."""
    errors = [
        {"parameter": name, "code": "extra_forbidden", "detail": _("This parameter is not known.")}
        for name in request.GET
        if name not in known and name not in {"limit", "offset"}
    ]
    if errors:
        raise Problem("invalid-request", errors[0]["detail"], errors=errors)
