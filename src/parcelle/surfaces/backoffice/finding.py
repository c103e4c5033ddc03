"""The search of the sidebar: customers, people and instances by what operators know of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Model, Q
from django.http import HttpRequest
from unfold.dataclasses import SearchResult

from parcelle.domain.accounts.models import User
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.backoffice.base import as_uuid, lean
from parcelle.surfaces.backoffice.values import page_of

MOST = 8


def find(_request: HttpRequest, term: str) -> list[Any]:
    """Called by unfold with what was typed, in lower case."""
    key = as_uuid(term)
    organizations = Organization.objects.filter(Q(name__icontains=term) | Q(slug__icontains=term) | Q(pk=key))
    users = User.objects.filter(
        Q(email__icontains=term) | Q(first_name__icontains=term) | Q(last_name__icontains=term) | Q(pk=key)
    )
    instances = (
        lean(Instance.objects.all())
        .filter(Q(slug__icontains=term) | Q(pk=key) | Q(ref=key))
        .filter(organization__isnull=False)
    )
    return [
        *_results(organizations.order_by("name"), "apartment"),
        *_results(users.order_by("email"), "person"),
        *_results(instances.order_by("-created_at"), "deployed_code"),
    ]


def _results(rows: Any, icon: str) -> Iterable[Any]:
    found: list[Model] = list(rows[:MOST])
    return [
        SearchResult(title=str(row), description=str(row._meta.verbose_name).capitalize(), link=page_of(row), icon=icon)
        for row in found
    ]
