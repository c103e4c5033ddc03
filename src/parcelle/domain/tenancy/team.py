"""Who belongs to an organization: invited, joined, given another role, removed, handed over.

Every verb holds the organization's row until it is done: two at once come one after the other, each sees what the
one before has done, and so the last owner cannot go.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from parcelle.core import events
from parcelle.core.rows import insert_unless_taken
from parcelle.domain.accounts.models import User, normalise_email
from parcelle.domain.tenancy import permissions
from parcelle.domain.tenancy.errors import NotAllowed, TeamRefused
from parcelle.domain.tenancy.events import (
    InvitationRevoked,
    MemberInvited,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MemberRoleChanged,
    OwnershipTransferred,
)
from parcelle.domain.tenancy.models import Invitation, Membership, Organization

# How long an invitation can be accepted.
LASTS = timedelta(days=7)
MOST_OPEN = 100
# Owners are appointed, not invited: nobody owns what they have never seen.
INVITED_ROLES = (Membership.ADMIN, Membership.MEMBER, Membership.VIEWER)


@dataclass(frozen=True)
class Invited:
    """An invitation with its token, which is readable only now."""

    invitation: Invitation
    token: str


def hold(organization_id: UUID) -> Organization:
    """The organization, which nobody else holds until the transaction ends."""
    return Organization.objects.select_for_update(no_key=True).get(pk=organization_id)


# --- invitations --------------------------------------------------------------------------------------------


@transaction.atomic
def invite(*, organization_id: UUID, email: str, role: str, by: User, now: datetime) -> Invited:
    """Invites an address; one that is invited already gets a new link, and its old one ends.

    Raises NotAllowed and TeamRefused.
    """
    organization = hold(organization_id)
    _allowed(organization_id, by, role)
    email = normalise_email(email)
    if Membership.objects.filter(organization=organization, user__email=email).exists():
        raise TeamRefused("member")
    waiting = Invitation.objects.waiting().filter(organization=organization)
    row = waiting.filter(email=email).first()
    if row is None and waiting.filter(expires_at__gt=now).count() >= MOST_OPEN:
        raise TeamRefused("too_many")
    row = row or Invitation(organization=organization, email=email, created_at=now)
    token = secrets.token_urlsafe(32)
    row.role, row.invited_by, row.digest = role, by, digest_of(token)
    row.sent_at, row.expires_at = now, now + LASTS
    row.save()
    events.record(
        MemberInvited(organization_id=organization_id, invitation_id=row.pk, email=email, role=role),
        now=now,
        actor=f"user:{by.pk}",
    )
    return Invited(row, token)


@transaction.atomic
def revoke(invitation: Invitation, *, by: User, now: datetime) -> None:
    """Its link ends. Raises NotAllowed, and TeamRefused for one that was accepted."""
    hold(invitation.organization_id)
    _allowed(invitation.organization_id, by, invitation.role)
    if not Invitation.objects.waiting().filter(pk=invitation.pk).update(revoked_at=now):
        raise TeamRefused("used")
    events.record(
        InvitationRevoked(
            organization_id=invitation.organization_id, invitation_id=invitation.pk, email=invitation.email
        ),
        now=now,
        actor=f"user:{by.pk}",
    )


def find(token: str) -> Invitation:
    """Raises TeamRefused for a token that is made up or was replaced by a newer one."""
    rows = Invitation.objects.select_related("organization", "invited_by")
    found = rows.filter(digest=digest_of(token)).first()
    if found is None:
        raise TeamRefused("unknown")
    return found


@transaction.atomic
def accept(token: str, *, user: User, now: datetime) -> Membership:
    """The invited person joins, once. Raises TeamRefused; who belongs to it already keeps their role."""
    invitation = find(token)
    hold(invitation.organization_id)
    if user.email != invitation.email:
        raise TeamRefused("other_person")
    open_now = Invitation.objects.waiting().filter(pk=invitation.pk, digest=invitation.digest, expires_at__gt=now)
    if not open_now.update(accepted_at=now, accepted_by=user):
        invitation.refresh_from_db()
        raise TeamRefused(invitation.standing(now) or "unknown")
    membership = Membership(organization=invitation.organization, user=user, role=invitation.role, created_at=now)
    if not insert_unless_taken(membership):
        return Membership.objects.get(organization=invitation.organization, user=user)
    events.record(
        MemberJoined(
            organization_id=invitation.organization_id,
            user_id=user.pk,
            role=membership.role,
            invited_by=invitation.invited_by_id,
        ),
        now=now,
        actor=f"user:{user.pk}",
    )
    return membership


def digest_of(token: str) -> str:
    # As for API tokens: 256 random bits need no slow hash.
    return hashlib.sha256(token.encode()).hexdigest()


# --- members ------------------------------------------------------------------------------------------------


@transaction.atomic
def change_role(member: Membership, *, role: str, by: User, now: datetime) -> None:
    """Raises NotAllowed, TeamRefused for the last owner, and Membership.DoesNotExist for who has gone meanwhile."""
    hold(member.organization_id)
    member = Membership.objects.get(pk=member.pk)
    _allowed(member.organization_id, by, member.role, role)
    if member.role == role:
        return
    _not_the_last_owner(member)
    before, member.role = member.role, role
    member.save(update_fields=["role"])
    events.record(
        MemberRoleChanged(organization_id=member.organization_id, user_id=member.user_id, before=before, after=role),
        now=now,
        actor=f"user:{by.pk}",
    )


@transaction.atomic
def remove(member: Membership, *, by: User, now: datetime) -> None:
    """Raises NotAllowed, TeamRefused for the last owner, and Membership.DoesNotExist for who has gone meanwhile."""
    hold(member.organization_id)
    member = Membership.objects.get(pk=member.pk)
    _allowed(member.organization_id, by, member.role)
    _not_the_last_owner(member)
    member.delete()
    events.record(
        MemberRemoved(organization_id=member.organization_id, user_id=member.user_id, before=member.role),
        now=now,
        actor=f"user:{by.pk}",
    )


@transaction.atomic
def leave(organization_id: UUID, *, user: User, now: datetime) -> None:
    """Raises TeamRefused for the last owner, and Membership.DoesNotExist for who does not belong to it."""
    hold(organization_id)
    member = Membership.objects.get(organization_id=organization_id, user=user)
    _not_the_last_owner(member)
    member.delete()
    events.record(
        MemberLeft(organization_id=organization_id, user_id=user.pk, before=member.role),
        now=now,
        actor=f"user:{user.pk}",
    )


@transaction.atomic
def hand_over(member: Membership, *, by: User, now: datetime) -> None:
    """The member becomes an owner, and who was one until now an administrator.

    Raises NotAllowed, and Membership.DoesNotExist for who has gone meanwhile.
    """
    hold(member.organization_id)
    member = Membership.objects.get(pk=member.pk)
    _allowed(member.organization_id, by, Membership.OWNER)
    if member.user_id == by.pk:
        return
    before, member.role = member.role, Membership.OWNER
    member.save(update_fields=["role"])
    Membership.objects.filter(organization_id=member.organization_id, user=by).update(role=Membership.ADMIN)
    events.record(
        OwnershipTransferred(
            organization_id=member.organization_id, user_id=member.user_id, before=before, former_owner=by.pk
        ),
        now=now,
        actor=f"user:{by.pk}",
    )


def _allowed(organization_id: UUID, by: User, *roles: str) -> None:
    """Raises NotAllowed for who may not touch or give one of these roles now."""
    own = Membership.objects.filter(organization_id=organization_id, user=by).values_list("role", flat=True).first()
    if not all(permissions.may_touch(own, role) for role in roles):
        raise NotAllowed


def _not_the_last_owner(member: Membership) -> None:
    owners = Membership.objects.filter(organization_id=member.organization_id, role=Membership.OWNER)
    if member.role == Membership.OWNER and not owners.exclude(pk=member.pk).exists():
        raise TeamRefused("last_owner")
