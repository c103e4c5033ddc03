"""`/deployments/<id>`: what happens to one instance, live.

The page, its live stream and its polling fallback all render the same fragment from the same recorded
state, so a reload, a late visit or a lost connection never shows anything else than what is true.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from parcelle.core.states import IllegalTransition
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.provisioning import queries
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.journeys import delivery, signup
from parcelle.surfaces.portal import live, watching
from parcelle.surfaces.portal.progress import Deployment


@never_cache
@require_safe
def deployment(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    seen = _look(watching.admit(request, instance_id))
    return render(request, "portal/deployment.html", {"deployment": seen})


@never_cache
@require_safe
def fragment(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    seen = _look(watching.admit(request, instance_id))
    return render(request, "portal/parts/progress.html", {"deployment": seen})


@never_cache
@require_POST
def retry(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    watching.admit_to_retry(request, instance_id)
    actor = f"user:{request.user.pk}" if request.user.is_authenticated else "visitor"
    # Somebody was faster (a second click, another member): the page shows what has become of it.
    with contextlib.suppress(IllegalTransition):
        try:
            signup.retry(instance_id, actor=actor, now=timezone.now())
        except signup.NameTaken:
            messages.error(
                request, _("Another customer has taken this name in the meantime. Please start a new trial.")
            )
        except (ProvisioningError, BlueprintError):
            # The target was put out of use, or the blueprint is gone: nothing that a customer can do something about.
            messages.error(request, _("This cannot be tried again at present. Please write to us."))
    return redirect("deployment", instance_id=instance_id)


async def events(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    """The live stream (server-sent events)."""
    watcher = await live.in_thread(watching.admit)(request, instance_id)

    def look() -> tuple[str, bool]:
        seen = _look(watcher)
        return render_to_string("portal/parts/progress.html", {"deployment": seen}, request), seen.finished

    return live.stream(look, topic=f"instance:{watcher.instance.pk}")


def _look(watcher: watching.Watcher) -> Deployment:
    seen = Deployment(watcher=watcher, progress=queries.progress(watcher.instance.pk), now=timezone.now())
    if seen.failed:
        return replace(seen, trouble=delivery.trouble_of(watcher.instance.pk))
    if watcher.manager and seen.ready:
        return replace(seen, credentials=queries.credentials(watcher.instance.pk))
    return seen
