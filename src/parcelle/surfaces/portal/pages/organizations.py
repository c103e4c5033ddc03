"""`/organization`: somebody who belongs to several chooses for which of them they go on."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import resolve
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from parcelle.surfaces import current

# Pages about a whole organization: each shows the same of the next one. Any other is about something of the last one.
_STAYS = frozenset({"dashboard", "billing", "team", "settings", "pricing", "register", "landing"})


@login_required
@never_cache
@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    current.choose_typed(request)
    return redirect(_next(request.POST.get("next", "")))


def _next(path: str) -> str:
    """The page they came from, without what its address said about the last organization."""
    place = path.partition("?")[0]
    try:
        return place if resolve(place).url_name in _STAYS else "/dashboard"
    except Http404:
        return "/dashboard"
