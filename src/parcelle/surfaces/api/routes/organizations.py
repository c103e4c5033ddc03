"""`/api/tenants/organizations/`: customer accounts and who belongs to them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Annotated, cast
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router
from ninja.responses import Status as Answer

from parcelle.core import ratelimit
from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy import permissions, queries, states
from parcelle.domain.tenancy.errors import NotAllowed, TeamRefused
from parcelle.domain.tenancy.models import Membership, Organization
from parcelle.journeys import team
from parcelle.surfaces import refusals
from parcelle.surfaces.api import accounts, tokens
from parcelle.surfaces.api.idempotency import once
from parcelle.surfaces.api.lists import Limit, Offset, part, refuse_unknown_parameters
from parcelle.surfaces.api.openapi import problems_of
from parcelle.surfaces.api.problems import Problem
from parcelle.surfaces.api.schemas import ShortName

router = Router(auth=tokens.BearerToken(), tags=["organizations"], by_alias=True)


@router.get(
    "/tenants/organizations/",
    operation_id="listOrganizations",
    summary="List organizations",
    response={200: accounts.OrganizationPage},
    openapi_extra=problems_of("invalid-request"),
)
def index(
    request: HttpRequest,
    limit: Limit = 50,
    offset: Offset = 0,
    slug: Annotated[ShortName | None, Query(description="Only the one with exactly this short name.")] = None,
    status: Annotated[accounts.OrganizationStatus | None, Query(description="Only those with this status.")] = None,
) -> accounts.OrganizationPage:
    """Those that the token's user belongs to, newest first: all of them for an operator."""
    refuse_unknown_parameters(request, {"slug", "status"})
    wanted = {"slug": slug, "state": status}
    rows = _visible(request).order_by("-created_at", "-pk")
    rows = rows.filter(**{name: value for name, value in wanted.items() if value is not None})
    filters = {"slug": slug, "status": status}
    found, about = part(rows, path="/api/tenants/organizations/", limit=limit, offset=offset, filters=filters)
    roles = queries.roles_of(tokens.user_of(request), [row.pk for row in found])
    return accounts.OrganizationPage(items=[_shown(row, roles.get(row.pk)) for row in found], **about)


@router.get(
    "/tenants/organizations/{organization_id}/",
    operation_id="getOrganization",
    summary="One organization",
    response={200: accounts.Organization},
    openapi_extra=problems_of("not-found"),
)
def show(request: HttpRequest, organization_id: UUID) -> accounts.Organization:
    """What it is called, how it stands, and what the token's user is in it."""
    found = _find(request, organization_id)
    return _shown(found, queries.role_of(tokens.user_of(request), found.pk))


@router.get(
    "/tenants/organizations/{organization_id}/members/",
    operation_id="listMembers",
    summary="Who belongs to it",
    response={200: accounts.MemberList},
    openapi_extra=problems_of("not-found"),
)
def members(request: HttpRequest, organization_id: UUID) -> accounts.MemberList:
    """Everybody with their role."""
    found = _find(request, organization_id)
    return accounts.MemberList(
        organization_id=found.pk, items=[_member(member) for member in queries.members_of(found.pk)]
    )


@router.post(
    "/tenants/organizations/{organization_id}/invite_member/",
    operation_id="inviteMember",
    summary="Invite somebody",
    response={201: accounts.Invitation},
    openapi_extra=problems_of(
        "malformed-json",
        "body-too-large",
        "unsupported-media-type",
        "forbidden",
        "organization-closed",
        "not-found",
        "invitation-refused",
    ),
)
@once
def invite_member(
    request: HttpRequest, organization_id: UUID, body: accounts.InviteMember
) -> Answer[accounts.Invitation]:
    """Sends a mail with a link, good for seven days and for one person. An address that is invited already gets a new
    link with this role, and the old one ends. For owners and administrators of the organization.
    """
    now = timezone.now()
    found = _find(request, organization_id)
    user = tokens.user_of(request)
    if not permissions.may(queries.role_of(user, found.pk), permissions.MANAGE_TEAM):
        raise Problem("forbidden", _("Only owners and administrators of the organization invite people."))
    if found.state in states.CLOSED:
        raise Problem("organization-closed")
    _hold_to_limit(found, now=now)
    try:
        invitation = team.invite(found.pk, email=body.email, role=body.role, by=user, now=now)
    except NotAllowed:
        raise Problem("forbidden", _("Only an owner makes somebody an owner.")) from None
    except TeamRefused as refused:
        detail = str(refusals.TEAM[refused.code])
        errors = [{"pointer": "#/email", "code": refused.code, "detail": detail}]
        raise Problem("invitation-refused", detail, errors=errors) from None
    return Answer(
        201,
        accounts.Invitation(
            invitation_id=invitation.pk,
            email=invitation.email,
            role=cast("accounts.Role", invitation.role),
            expires_at=invitation.expires_at,
        ),
    )


def _hold_to_limit(organization: Organization, *, now: datetime) -> None:
    if not settings.RATE_LIMITS:
        return
    # Counted together with those from `/team`.
    key = f"invite:{organization.pk}"
    wait = ratelimit.hit(key, limit=team.INVITATIONS_PER_HOUR, window=timedelta(hours=1), now=now)
    if wait is not None:
        raise Problem("too-many-requests", headers={"Retry-After": str(max(1, math.ceil(wait.total_seconds())))})


def _visible(request: HttpRequest) -> QuerySet[Organization]:
    user = tokens.user_of(request)
    rows = Organization.objects.all() if user.is_staff else Organization.objects.filter(memberships__user=user)
    return tokens.in_question(request, rows, by="pk")


def _find(request: HttpRequest, organization_id: UUID) -> Organization:
    found = _visible(request).filter(pk=organization_id).first()
    if found is None:
        detail = _("There is no organization %(id)s, or this token may not see it.") % {"id": organization_id}
        raise Problem("not-found", detail)
    return found


def _shown(row: Organization, role: str | None) -> accounts.Organization:
    return accounts.Organization(
        organization_id=row.pk,
        name=row.name,
        slug=row.slug,
        status=cast("accounts.OrganizationStatus", row.state),
        language=row.language,
        role=cast("accounts.Role | None", role),
        created_at=row.created_at,
    )


def _member(row: Membership) -> accounts.Member:
    user: User = row.user
    return accounts.Member(
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        role=cast("accounts.Role", row.role),
        since=row.created_at,
    )
