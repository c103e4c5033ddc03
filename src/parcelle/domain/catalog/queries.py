"""Questions about what is sold."""

from __future__ import annotations

from django.db.models import QuerySet

from parcelle.domain.catalog.models import Plan


def plans_on_sale() -> QuerySet[Plan]:
    """Every plan that can be bought or tried, in the order in which they are shown."""
    return Plan.objects.filter(enabled=True, product__enabled=True).select_related("product")


def plans_to_try() -> QuerySet[Plan]:
    """The plans that begin with a free trial."""
    return plans_on_sale().filter(trial_days__gt=0, on_request=False)


def plan_to_try(*, product: str | None = None, plan: str | None = None) -> Plan | None:
    """The first plan that can be tried and has these short names where given."""
    plans = plans_to_try()
    if product is not None:
        plans = plans.filter(product__slug=product)
    if plan is not None:
        plans = plans.filter(slug=plan)
    return plans.first()
