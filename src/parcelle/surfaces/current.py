"""For which organization somebody asks: decided here and nowhere else.

In this order: what the page is about (`enter`), the header, what was chosen in this session, the oldest membership.
Only ever an organization that they belong to; all others do not exist for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from parcelle.core import context
from parcelle.core.context import Context, Platform
from parcelle.domain.accounts.models import ApiToken, User
from parcelle.domain.tenancy import actions, permissions, queries, states
from parcelle.domain.tenancy.models import Membership, Organization

HEADER = "X-Organization-ID"
# What members of a suspended, expired or cancelled organization can still do: pay, read their invoices, go elsewhere.
# Pages that ask for no organization, such as signing out and writing to us, are open anyway.
OPEN_WHILE_CLOSED = frozenset(
    {
        *("pricing", "register", "register_summary"),
        *("order", "order_pay", "order_change", "order_return", "order_events", "order_progress", "order_resume"),
        *("order_receipt_upload", "order_receipt", "order_other_way", "test_payment"),
        *("billing", "billing_statement", "billing_method_remove", "billing_details", "billing_document"),
        "organization_choose",
    }
)
# How often it is noted that a token of an operator is in use.
_NOTED_EVERY = timedelta(hours=1)
_SESSION_KEY = "organization"


@dataclass(frozen=True)
class Current:
    """An organization, and what whoever asks is in it."""

    organization: Organization
    role: str

    def may(self, action: str) -> bool:
        return permissions.may(self.role, action)


class Closed(PermissionDenied):
    """They belong to it, but it is suspended, expired or cancelled."""

    def __init__(self, here: Current) -> None:
        super().__init__(here.organization.state)
        self.here = here


def arrive_by_token(token: ApiToken, *, now: datetime) -> None:
    """The same for a program, which an operator's may ask about every customer."""
    user = token.user
    if user.is_staff:
        context.narrow(Context(platform=Platform.OPERATORS_API))
        if token.last_used_at is None or now - token.last_used_at > _NOTED_EVERY:
            actions.note_scope(Platform.OPERATORS_API, actor=f"token:{token.pk}", now=now)
        return
    context.narrow(Context(user=user.pk))
    mine = frozenset(queries.own_memberships(user).values_list("organization_id", flat=True))
    context.narrow(Context(organizations=mine, user=user.pk))


def arrive(request: HttpRequest) -> None:
    """Whoever is signed in sees the rows of their organizations from here on, until it is known for which they ask."""
    user = request.user
    assert isinstance(user, User)
    context.narrow(Context(user=user.pk))
    mine = list(queries.own_memberships(user))
    context.narrow(Context(organizations=frozenset(row.organization_id for row in mine), user=user.pk))
    queries.fill_in_organizations(mine)
    request.__dict__["_memberships"] = mine


def memberships(request: HttpRequest) -> list[Membership]:
    """Those of whoever is signed in, the oldest first; read once per request."""
    if "_memberships" not in request.__dict__:
        user = getattr(request, "user", None)
        if not isinstance(user, User):
            request.__dict__["_memberships"] = []
        elif context.current().platform:
            request.__dict__["_memberships"] = list(queries.memberships_of(user))
        else:
            # Also on pages that no view makes, such as that of an address that leads nowhere.
            arrive(request)
    return cast("list[Membership]", request.__dict__["_memberships"])


def current(request: HttpRequest) -> Current | None:
    """None for who belongs to none. Raises Http404 for a header that names another one than theirs, and Closed."""
    found = whichever(request)
    return _open(request, found) if found else None


def whichever(request: HttpRequest) -> Current | None:
    """The same, closed or not."""
    entered: Current | None = request.__dict__.get("_entered")
    if entered is not None:
        return entered
    wanted = named(request)
    if wanted is not None:
        return _enter(request, wanted)
    mine = memberships(request)
    chosen = request.session.get(_SESSION_KEY) if len(mine) > 1 else None
    found = next((row for row in mine if str(row.organization_id) == chosen), mine[0] if mine else None)
    return _narrowed(Current(found.organization, found.role)) if found else None


def _narrowed(here: Current) -> Current:
    asked = context.current()
    if asked.platform is None:
        context.narrow(Context(organizations=frozenset({here.organization.pk}), user=asked.user))
    return here


def enter(request: HttpRequest, organization_id: UUID | None) -> Current:
    """For the rest of the request: the organization that its page is about.

    Raises Http404 for strangers, and Closed.
    """
    return _open(request, _enter(request, organization_id))


def _enter(request: HttpRequest, organization_id: UUID | None) -> Current:
    wanted = named(request) if memberships(request) else None
    found = next((row for row in memberships(request) if row.organization_id == organization_id), None)
    if found is None or (wanted is not None and wanted != organization_id):
        raise Http404
    entered = _narrowed(Current(found.organization, found.role))
    request.__dict__["_entered"] = entered
    return entered


def _open(request: HttpRequest, here: Current) -> Current:
    page = request.resolver_match.url_name if request.resolver_match else None
    if here.organization.state in states.CLOSED and page not in OPEN_WHILE_CLOSED:
        raise Closed(here)
    return here


def enter_by_name(request: HttpRequest, slug: str) -> Current:
    """The same for an address that says its short name."""
    found = next((row.organization_id for row in memberships(request) if row.organization.slug == slug), None)
    return enter(request, found)


def choose(request: HttpRequest, organization_id: UUID) -> Current:
    """For this session from now on. Raises Http404 for strangers."""
    entered = enter(request, organization_id)
    request.session[_SESSION_KEY] = str(organization_id)
    return entered


def choose_typed(request: HttpRequest) -> Current:
    """The same for the one that a form is about, whatever was chosen in another window since."""
    try:
        return choose(request, UUID(request.POST.get("organization", "")))
    except ValueError:
        raise Http404 from None


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
