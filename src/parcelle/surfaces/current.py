"""For which organization somebody asks: decided here and nowhere else.

In this order: what the page is about (`enter`), the header, what was chosen in this session, the oldest membership.
Only ever an organization that they belong to; all others do not exist for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.http import Http404, HttpRequest

from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy import permissions, queries
from parcelle.domain.tenancy.models import Membership, Organization

HEADER = "X-Organization-ID"
_SESSION_KEY = "organization"


@dataclass(frozen=True)
class Current:
    """An organization, and what whoever asks is in it."""

    organization: Organization
    role: str

    def may(self, action: str) -> bool:
        return permissions.may(self.role, action)


def memberships(request: HttpRequest) -> list[Membership]:
    """Those of whoever is signed in, the oldest first; read once per request."""
    known = request.__dict__.get("_memberships")
    if known is None:
        user = getattr(request, "user", None)
        known = list(queries.memberships_of(user)) if isinstance(user, User) else []
        request.__dict__["_memberships"] = known
    return cast("list[Membership]", known)


def current(request: HttpRequest) -> Current | None:
    """None for who belongs to none. Raises Http404 for a header that names another one than theirs."""
    entered: Current | None = request.__dict__.get("_entered")
    if entered is not None:
        return entered
    wanted = named(request)
    if wanted is not None:
        return enter(request, wanted)
    mine = memberships(request)
    chosen = request.session.get(_SESSION_KEY) if len(mine) > 1 else None
    found = next((row for row in mine if str(row.organization_id) == chosen), mine[0] if mine else None)
    return Current(found.organization, found.role) if found else None


def enter(request: HttpRequest, organization_id: UUID | None) -> Current:
    """For the rest of the request: the organization that its page is about. Raises Http404 for strangers."""
    wanted = named(request) if memberships(request) else None
    found = next((row for row in memberships(request) if row.organization_id == organization_id), None)
    if found is None or (wanted is not None and wanted != organization_id):
        raise Http404
    entered = Current(found.organization, found.role)
    request.__dict__["_entered"] = entered
    return entered


def enter_by_name(request: HttpRequest, slug: str) -> Current:
    """The same for an address that says its short name."""
    found = next((row.organization_id for row in memberships(request) if row.organization.slug == slug), None)
    return enter(request, found)


def choose(request: HttpRequest, organization_id: UUID) -> Current:
    """For this session from now on. Raises Http404 for strangers."""
    entered = enter(request, organization_id)
    request.session[_SESSION_KEY] = str(organization_id)
    return entered


def buys_for(request: HttpRequest) -> Organization | None:
    """For whom this person orders: the current organization, another that they own, or nobody yet.

    Where they may only look, an order is about something of their own.
    """
    here = current(request)
    if here is not None and here.may(permissions.PAY):
        return here.organization
    owned = (row.organization for row in memberships(request) if row.role == Membership.OWNER)
    return next(owned, None)


def named(request: HttpRequest) -> UUID | None:
    """What the header says. Raises Http404 for what is no identifier."""
    said = request.headers.get(HEADER)
    if said is None:
        return None
    try:
        return UUID(said.strip())
    except ValueError:
        raise Http404 from None
