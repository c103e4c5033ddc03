"""`/`: what is offered, one thing to do, and how far an application is that nobody has had yet."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from parcelle.domain.catalog import queries
from parcelle.surfaces.portal import preparing


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    plans = list(queries.plans_to_try())
    products = list({plan.product_id: plan.product for plan in plans}.values())
    # What the page says about "the" trial must be true of every one of them.
    alike = len({(plan.trial_days, plan.retention_days) for plan in plans}) == 1
    context = {
        "products": products,
        "plan": plans[0] if alike else None,
        "preparing": preparing.of(products, now=timezone.now()),
    }
    return render(request, "portal/landing.html", context)


@never_cache
@require_safe
def preparation(request: HttpRequest) -> HttpResponse:
    """What the pages ask again until nothing is being prepared any more; then it is empty, and they stop."""
    products = list({plan.product_id: plan.product for plan in queries.plans_to_try()}.values())
    return render(request, "portal/parts/preparing.html", {"preparing": preparing.of(products, now=timezone.now())})
