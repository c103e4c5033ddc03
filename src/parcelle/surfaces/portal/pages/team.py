"""`/team`: who belongs to the organization, and what each role may do."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from parcelle.domain.tenancy import queries
from parcelle.surfaces import current
from parcelle.surfaces.portal import team_words


@login_required
@never_cache
@require_safe
def team(request: HttpRequest) -> HttpResponse:
    here = current.current(request)
    context = {
        "here": here,
        "members": queries.members_of(here.organization.pk) if here else [],
        "permissions": team_words.table(),
        "roles": team_words.ROLES.values(),
    }
    return render(request, "portal/team.html", context)
