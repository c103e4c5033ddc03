"""Pages for what went wrong, in the portal's look."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import translation

from parcelle.domain.tenancy import permissions, queries
from parcelle.domain.tenancy.models import Membership
from parcelle.surfaces.current import Closed
from parcelle.surfaces.portal.access import RoleRefused
from parcelle.surfaces.portal.team_words import ROLES


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    return render(request, "400.html", status=400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if isinstance(exception, RoleRefused):
        here = exception.here
        context = {
            "organization": here.organization,
            "role": ROLES[here.role],
            "owners": [
                row.user.get_full_name() or row.user.email
                for row in queries.members_of(here.organization.pk)
                if row.role == Membership.OWNER
            ],
        }
        return render(request, "portal/role_refused.html", context, status=403)
    if isinstance(exception, Closed):
        closed = exception.here
        context = {
            "organization": closed.organization,
            "state": closed.organization.state,
            "may_pay": closed.may(permissions.PAY),
        }
        return render(request, "portal/closed.html", context, status=403)
    return render(request, "403.html", status=403)


def form_expired(request: HttpRequest, **_reason: str) -> HttpResponse:
    """A form came without its CSRF token."""
    return _without_database(request, "403_csrf.html", 403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    return render(request, "404.html", status=404)


def failed(request: HttpRequest) -> HttpResponse:
    return _without_database(request, "500.html", 500)


def _without_database(request: HttpRequest, template: str, status: int) -> HttpResponse:
    """Renders without context processors: who is signed in is a question to the database, which may be what broke.

    The language is read from the request again: the failure may have come before the middleware.
    """
    with translation.override(translation.get_language_from_request(request)):
        page = render_to_string(template, {"csrf_token": get_token(request)})
    return HttpResponse(page, status=status)
