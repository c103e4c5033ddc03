"""Questions about organizations and their members."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db.models import QuerySet

from parcelle.core.compiled import Compiled, Given
from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy.models import Invitation, Membership, Organization


def organizations_of(user: User) -> QuerySet[Organization]:
    """The organizations a user belongs to, oldest membership first."""
    return Organization.objects.filter(memberships__user=user).order_by("memberships__created_at")


def memberships_of(user: User) -> QuerySet[Membership]:
    """A user's memberships with their organizations, the oldest first."""
    return Membership.objects.filter(user=user).select_related("organization").order_by("created_at", "pk")


def own_memberships(user: User) -> QuerySet[Membership]:
    """The same without their organizations: what somebody may see before it is known where they belong."""
    return Membership.objects.filter(user=user).order_by("created_at", "pk")


def fill_in_organizations(memberships: Collection[Membership]) -> None:
    """Reads the organizations of these memberships at once."""
    found = Organization.objects.in_bulk([row.organization_id for row in memberships])
    for row in memberships:
        row.organization = found[row.organization_id]


def members_of(organization_id: UUID) -> list[Membership]:
    """Everybody in the organization with their user: owners first, then whoever has been there longest."""
    rows = Membership.objects.filter(organization_id=organization_id).select_related("user")
    order = [role for role, _label in Membership.ROLES]
    return sorted(rows.order_by("created_at", "pk"), key=lambda row: order.index(row.role))


def waiting_invitations(organization_id: UUID) -> QuerySet[Invitation]:
    """Those that were neither accepted nor revoked, the newest first; some of them have expired."""
    return Invitation.objects.waiting().filter(organization_id=organization_id).order_by("-sent_at")


def owned_organization(user: User) -> Organization | None:
    """The organization this user has owned longest."""
    owned = Organization.objects.filter(memberships__user=user, memberships__role=Membership.OWNER)
    return owned.order_by("memberships__created_at").first()


def owner_of(organization_id: UUID) -> User:
    """The member who has owned the organization longest."""
    (first,) = _owner(organization=organization_id)
    return first.user


_owner = Compiled(
    lambda: (
        Membership.objects.filter(organization_id=Given("organization"), role=Membership.OWNER)
        .select_related("user")
        .order_by("created_at")[:1]
    )
)


def roles_of(user: User, organization_ids: Collection[UUID]) -> dict[UUID, str]:
    """The user's role in each of these organizations that they belong to."""
    rows = Membership.objects.filter(user=user, organization_id__in=organization_ids)
    return dict(rows.values_list("organization_id", "role"))


def role_of(user: User, organization_id: UUID | None) -> str | None:
    """The user's role in the organization; None for somebody who does not belong to it."""
    if organization_id is None:
        return None
    memberships = Membership.objects.filter(user=user, organization_id=organization_id)
    return memberships.values_list("role", flat=True).first()
