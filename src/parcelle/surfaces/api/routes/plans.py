"""`/api/tenants/plans/`: what is on sale. Needs no token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language
from ninja import Query, Router

from parcelle.domain.billing.quotes import yearly_saving
from parcelle.domain.catalog import models, offers
from parcelle.surfaces.api import sales, tokens
from parcelle.surfaces.api.lists import Limit, Offset, part, refuse_unknown_parameters
from parcelle.surfaces.api.openapi import problems_of
from parcelle.surfaces.api.problems import Problem
from parcelle.surfaces.api.schemas import ShortName

router = Router(tags=["plans"], by_alias=True)


@router.get(
    "/tenants/plans/",
    operation_id="listPlans",
    summary="List plans",
    response={200: sales.PlanPage},
    openapi_extra=problems_of("invalid-request", "too-many-requests"),
)
def index(
    request: HttpRequest,
    limit: Limit = 50,
    offset: Offset = 0,
    product_slug: Annotated[ShortName | None, Query(alias="productSlug", description="Only this product's.")] = None,
    currency: Annotated[sales.Currency | None, Query(description="Only plans and prices in this currency.")] = None,
    interval: Annotated[sales.Interval | None, Query(description="Only plans and prices for this interval.")] = None,
) -> sales.PlanPage:
    """Every plan on sale with its current prices, limits and trial. Needs no token."""
    tokens.hold_address_to_limit(request, now=timezone.now())
    refuse_unknown_parameters(request, {"productSlug", "currency", "interval"})
    filters = {"productSlug": product_slug, "currency": currency, "interval": interval}
    rows = offers.plans(product=product_slug, currency=currency, interval=interval)
    plans, about = part(rows, path="/api/tenants/plans/", limit=limit, offset=offset, filters=filters)
    beside = offers.add_ons_of({plan.product_id for plan in plans})
    items = [_plan(plan, beside.get(plan.product_id, []), currency=currency, interval=interval) for plan in plans]
    return sales.PlanPage(items=items, **about)


@router.get(
    "/tenants/plans/{plan_id}/",
    operation_id="getPlan",
    summary="One plan",
    response={200: sales.Plan},
    openapi_extra=problems_of("not-found", "too-many-requests"),
)
def show(request: HttpRequest, plan_id: UUID) -> sales.Plan:
    """A plan on sale with all its current prices. Needs no token."""
    plan = _find(request, plan_id)
    return _plan(plan, offers.add_ons_of([plan.product_id]).get(plan.product_id, []))


@router.get(
    "/tenants/plans/{plan_id}/features/",
    operation_id="listPlanFeatures",
    summary="What a plan includes",
    response={200: sales.FeatureList},
    openapi_extra=problems_of("not-found", "too-many-requests"),
)
def features(request: HttpRequest, plan_id: UUID) -> sales.FeatureList:
    """Every line by which the product's plans are compared, also what this one does not include. Needs no token."""
    plan = _find(request, plan_id)
    included = {line.feature_id: line for line in plan.included.all()}
    lines = [_feature(feature, included.get(feature.pk)) for feature in plan.product.features.all()]
    return sales.FeatureList(plan_id=plan.pk, items=lines)


def _find(request: HttpRequest, plan_id: UUID) -> models.Plan:
    tokens.hold_address_to_limit(request, now=timezone.now())
    plan = offers.plans().filter(pk=plan_id).first()
    if plan is None:
        raise Problem("not-found")
    return plan


def _plan(
    plan: models.Plan, beside: Sequence[models.AddOn], *, currency: str | None = None, interval: str | None = None
) -> sales.Plan:
    english = _english()
    prices: list[models.Price] = plan.current  # type: ignore[attr-defined]
    return sales.Plan(
        plan_id=plan.pk,
        slug=plan.slug,
        name=plan.name,
        summary=plan.summary_en if english else plan.summary_fr,
        product_slug=plan.product.slug,
        product_name=plan.product.name,
        popular=plan.popular,
        on_request=plan.on_request,
        contact_url=f"{settings.PUBLIC_URL}/contact?plan={plan.pk}" if plan.on_request else None,
        trial_days=0 if plan.on_request else plan.trial_days,
        retention_days=plan.retention_days,
        limits=[
            sales.Limit(
                metric=line.feature.key,
                name=line.feature.name_en if english else line.feature.name_fr,
                amount=line.amount,
                unlimited=line.amount is None,
            )
            for line in plan.included.all()
            if line.counted
        ],
        resources=sales.Resources(
            memory_mb=plan.limits.get("memory_mb"), cpus=plan.limits.get("cpus"), processes=plan.limits.get("pids")
        ),
        prices=[
            _price(price, prices)
            for price in prices
            if currency in {None, price.currency} and interval in {None, price.interval}
        ],
        add_ons=[_add_on(one, currency=currency, interval=interval) for one in beside if offers.goes_with(one, plan)],
    )


def _add_on(one: models.AddOn, *, currency: str | None, interval: str | None) -> sales.AddOn:
    prices: list[models.AddOnPrice] = one.current  # type: ignore[attr-defined]
    return sales.AddOn(
        add_on_id=one.pk,
        name=one.name,
        metric=one.feature.key,
        most=one.most,
        prices=[
            sales.AddOnPrice(
                interval=cast("sales.Interval", price.interval), amount=sales.Amount.of(price.amount), adds=price.adds
            )
            for price in prices
            if currency in {None, price.currency} and interval in {None, price.interval}
        ],
    )


def _price(price: models.Price, all_of_plan: list[models.Price]) -> sales.PlanPrice:
    monthly = next(
        (other.amount for other in all_of_plan if (other.currency, other.interval) == (price.currency, "month")), None
    )
    saving = yearly_saving(monthly, price.amount) if monthly and price.interval == models.Price.YEAR else 0
    return sales.PlanPrice(
        price_id=price.pk,
        interval=cast("sales.Interval", price.interval),
        amount=sales.Amount.of(price.amount),
        saving_percent=saving,
    )


def _feature(feature: models.Feature, line: models.PlanFeature | None) -> sales.Feature:
    counted = line is not None and line.counted
    return sales.Feature(
        key=feature.key,
        name=feature.name_en if _english() else feature.name_fr,
        icon=feature.icon,
        included=line is not None,
        counted=counted,
        amount=line.amount if line is not None and counted else None,
        unlimited=line is not None and counted and line.amount is None,
    )


def _english() -> bool:
    return (get_language() or "").startswith("en")
