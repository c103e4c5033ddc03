"""`/`: what is offered, and one thing to do."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from parcelle.domain.catalog import queries


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    plans = list(queries.plans_to_try())
    products = list({plan.product_id: plan.product for plan in plans}.values())
    # What the page says about "the" trial must be true of every one of them.
    alike = len({(plan.trial_days, plan.retention_days) for plan in plans}) == 1
    return render(request, "portal/landing.html", {"products": products, "plan": plans[0] if alike else None})
