"""The verbs of this app."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from parcelle.core import events
from parcelle.core.rows import insert
from parcelle.core.states import move
from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy import states
from parcelle.domain.tenancy.events import OrganizationCreated, OrganizationStateChanged
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


@transaction.atomic
def change_state(organization: Organization, *, to: str, actor: str, now: datetime) -> None:
    """Shuts its members out, or lets them in again. Raises IllegalTransition."""
    before = organization.state
    move(organization, to, table=states.TRANSITIONS)
    events.record(
        OrganizationStateChanged(organization_id=organization.pk, before=before, after=to), now=now, actor=actor
    )
