"""What belongs to an organization, found in the models, and whether others see any of it."""

from __future__ import annotations

from uuid import uuid4

from django.apps import apps
from django.db import models

from parcelle.core import context
from parcelle.domain.tenancy.models import Organization

# Tables with a way to an organization that are nevertheless not its rows, and why.
NOT_OF_AN_ORGANIZATION = {
    "core_reaction": "the name of a function and the number of a fact; written with the fact, in one statement",
}


def owned_models() -> set[type[models.Model]]:
    """Ours that say an organization, or that are a part of one that does."""
    ours = {model for model in apps.get_models() if model.__module__.startswith("parcelle.")}
    found: set[type[models.Model]] = {Organization}
    while True:
        more = {model for model in ours - found if any(_leads_to(field, found) for field in model._meta.local_fields)}
        if not more:
            return found
        found |= more


def _leads_to(field: models.Field[object, object], found: set[type[models.Model]]) -> bool:
    return field.name == "organization_id" or (field.is_relation and field.related_model in found)


def hold() -> None:
    """A stranger sees nothing at all, and each organization only what says its own name."""
    mine = [model for model in owned_models() if model._meta.db_table not in NOT_OF_AN_ORGANIZATION]
    with context.organization(uuid4()):
        assert [model.__name__ for model in mine if model._base_manager.exists()] == []
    named = [model for model in mine if any(field.attname == "organization_id" for field in model._meta.local_fields)]
    for organization_id in list(Organization.objects.values_list("pk", flat=True)):
        with context.organization(organization_id):
            for model in named:
                assert set(model._base_manager.values_list("organization_id", flat=True)) <= {organization_id}, model
