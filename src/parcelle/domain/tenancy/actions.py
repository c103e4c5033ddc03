"""The verbs of this app."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from parcelle.core import context, events
from parcelle.core.context import Platform
from parcelle.core.rows import insert
from parcelle.core.states import move
from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy import states
from parcelle.domain.tenancy.events import (
    OrganizationChanged,
    OrganizationCreated,
    OrganizationStateChanged,
    PlatformScopeOpened,
)
from parcelle.domain.tenancy.models import Membership, Organization
from parcelle.domain.tenancy.names import store_under_free_name


@transaction.atomic(savepoint=False)
def create_organization(*, name: str, slug: str, owner: User, language: str, now: datetime, actor: str) -> Organization:
    """A new organization with its owner. When `slug` is taken a number is added to it."""
    organization = Organization(name=name, slug=slug, language=language, created_at=now)
    store_under_free_name(organization, held=Organization.objects.all())
    insert(Membership(organization=organization, user=owner, role=Membership.OWNER, created_at=now))
    events.record(OrganizationCreated(organization_id=organization.pk, slug=organization.slug), now=now, actor=actor)
    return organization


def note_scope(scope: Platform, *, actor: str, now: datetime) -> None:
    """Notes once that a session, a program or a process works on the rows of all organizations."""
    with context.platform(scope):
        events.record(PlatformScopeOpened(scope=str(scope)), now=now, actor=actor)


@transaction.atomic
def change_details(organization_id: UUID, *, actor: str, now: datetime, **details: str) -> bool:
    """Sets `name` or `language`; its short name and addresses stay. False, and nothing recorded, without a change."""
    row = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    after = {name: value for name, value in details.items() if getattr(row, name) != value}
    if not after:
        return False
    before = {name: str(getattr(row, name)) for name in after}
    for name, value in after.items():
        setattr(row, name, value)
    row.save(update_fields=list(after))
    events.record(OrganizationChanged(organization_id=row.pk, before=before, after=after), now=now, actor=actor)
    return True


@transaction.atomic
def change_state(organization: Organization, *, to: str, actor: str, now: datetime) -> None:
    """Shuts its members out, or lets them in again. Raises IllegalTransition."""
    before = organization.state
    move(organization, to, table=states.TRANSITIONS)
    events.record(
        OrganizationStateChanged(organization_id=organization.pk, before=before, after=to), now=now, actor=actor
    )
