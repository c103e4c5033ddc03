"""Members and invitations: who is told what. The mail with an invitation is written where its token is known."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from parcelle.core.models import Fact
from parcelle.domain.accounts.models import User
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.tenancy import queries as organizations
from parcelle.domain.tenancy import team
from parcelle.domain.tenancy.errors import TeamRefused
from parcelle.domain.tenancy.models import Invitation, Membership, Organization
from parcelle.domain.tenancy.team import Invited
from parcelle.journeys.telling import tell

# For one organization, whichever way they are sent.
INVITATIONS_PER_HOUR = 30


@transaction.atomic
def invite(organization_id: UUID, *, email: str, role: str, by: User, now: datetime) -> Invitation:
    """Also to send one again, with a new link. Raises NotAllowed and TeamRefused."""
    invited = team.invite(organization_id=organization_id, email=email, role=role, by=by, now=now)
    _send(invited, by=by, now=now)
    return invited.invitation


def _send(invited: Invited, *, by: User, now: datetime) -> None:
    invitation = invited.invitation
    known = User.objects.filter(email=invitation.email).first()
    notifications.send(
        # A new link is a new mail.
        key=f"invitation:{invitation.pk}:{invitation.digest[:16]}",
        kind="team_invitation",
        to=invitation.email,
        language=known.language if known else invitation.organization.language,
        context={
            "first_name": known.first_name if known else "",
            "company": invitation.organization.name,
            "inviter": by.get_full_name() or by.email,
            "role": invitation.role,
            "url": f"{settings.PUBLIC_URL}/invitations/{invited.token}",
            "open_until": invitation.expires_at.isoformat(),
        },
        organization_id=invitation.organization_id,
        now=now,
    )


def join_as_new(token: str, *, first_name: str, last_name: str, password: str, language: str, now: datetime) -> User:
    """An account for the invited address, which joins. Raises TeamRefused, `known` where the address has one."""
    try:
        with transaction.atomic():
            invitation = team.find(token)
            user = User.objects.create_user(
                invitation.email,
                password,
                first_name=first_name,
                last_name=last_name,
                language=language,
                date_joined=now,
            )
            team.accept(token, user=user, now=now)
            return user
    except IntegrityError:
        raise TeamRefused("known") from None


# --- who is told --------------------------------------------------------------------------------------------


def tell_joined(fact: Fact) -> None:
    """Whoever invited them."""
    if fact.data["invited_by"]:
        _tell(fact, UUID(fact.data["invited_by"]), "joined", role=fact.data["role"], about=_user(fact))


def tell_role(fact: Fact) -> None:
    _tell(fact, UUID(fact.data["user_id"]), "role", role=fact.data["after"])


def tell_removed(fact: Fact) -> None:
    _tell(fact, UUID(fact.data["user_id"]), "removed")


def tell_left(fact: Fact) -> None:
    """Every owner."""
    for row in organizations.members_of(_organization(fact).pk):
        if row.role == Membership.OWNER:
            _tell(fact, row.user_id, "left", about=_user(fact))


def tell_handed_over(fact: Fact) -> None:
    """Both: it is theirs now, and theirs no more."""
    former = User.objects.filter(pk=fact.data["former_owner"]).first()
    _tell(fact, UUID(fact.data["user_id"]), "owner", about=former)
    _tell(fact, UUID(fact.data["former_owner"]), "no_owner", about=_user(fact))


def _tell(fact: Fact, user_id: UUID, change: str, *, about: User | None = None, role: str = "") -> None:
    reader = User.objects.filter(pk=user_id).first()
    if reader is None:
        return
    tell(
        _organization(fact),
        reader,
        key=f"team:{fact.pk}:{reader.pk}",
        kind="team_news",
        product="",
        url=f"{settings.PUBLIC_URL}/team",
        instance_id=None,
        change=change,
        role=role,
        person=(about.get_full_name() or about.email) if about else "",
    )


def _organization(fact: Fact) -> Organization:
    assert fact.organization_id is not None
    return Organization.objects.get(pk=fact.organization_id)


def _user(fact: Fact) -> User | None:
    return User.objects.filter(pk=fact.data["user_id"]).first()
