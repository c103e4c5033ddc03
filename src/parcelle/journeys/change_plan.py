"""A customer takes another plan, or more or fewer add-ons: more at once, for the difference; less when their period
ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import translation

from parcelle.core.context import Platform, as_platform
from parcelle.core.models import Fact
from parcelle.domain.billing import baskets, plan_changes, price_changes
from parcelle.domain.billing import queries as billing
from parcelle.domain.billing.baskets import Extras
from parcelle.domain.billing.models import Order, PriceChange, Subscription
from parcelle.domain.billing.plan_changes import Change
from parcelle.domain.catalog.models import Price
from parcelle.domain.tenancy import queries as organizations
from parcelle.journeys.renewal import tell_about, tell_subscriber


def preview(subscription: Subscription, price: Price, *, now: datetime) -> Change:
    """What it would cost and when it would count. Raises ChangeRefused."""
    return plan_changes.preview(subscription, price, now=now)


@as_platform(Platform.CHANGE)
def change(
    subscription_id: UUID, *, price_id: UUID, request_id: UUID, actor: str, now: datetime, at_once: bool = False
) -> Order | None:
    """The order that a step up is paid with; None for a step down, which waits for the period's end.

    With `at_once` a step down counts now, and the rest of what was paid for the difference becomes credit.

    Raises ChangeRefused, NotOnSale, PaymentOpen.
    """
    return plan_changes.change(
        subscription_id, price_id=price_id, request_id=request_id, actor=actor, now=now, at_once=at_once
    )


def preview_add_ons(subscription: Subscription, quantities: Mapping[UUID, int], *, now: datetime) -> Change | None:
    """What so many of each would cost and when it would count; None where it takes back what was asked for the
    period's end. Raises AddOnRefused and ChangeRefused."""
    return plan_changes.preview_add_ons(subscription, quantities, now=now)


@as_platform(Platform.CHANGE)
def change_add_ons(
    subscription_id: UUID,
    *,
    quantities: Mapping[UUID, int],
    request_id: UUID,
    actor: str,
    now: datetime,
    at_once: bool = False,
) -> Order | None:
    """So many of each add-on, as `change`. Raises AddOnRefused, ChangeRefused, PaymentOpen."""
    return plan_changes.change_add_ons(
        subscription_id, quantities=quantities, request_id=request_id, actor=actor, now=now, at_once=at_once
    )


def tell_changed(fact: Fact) -> None:
    """The mail that says what somebody has from now on; once per order."""
    order = Order.objects.select_related("plan").get(pk=UUID(fact.data["order_id"]))
    assert order.organization_id is not None
    parts = baskets.parts(order)
    kind = "add_ons_changed" if any(part.more for part in parts) and order.kind == Order.CHANGE else "plan_changed"
    extras = tuple(part.extra for part in parts if part.extra.quantity)
    add_ons = _written(extras, order.organization_id)
    tell_about(order, kind, f"plan-changed:{order.pk}", paid_until=fact.data["paid_until"], add_ons=add_ons)


def _written(extras: Extras, organization_id: UUID) -> list[str]:
    """`2 × …`, in the language of who reads it."""
    with translation.override(organizations.owner_of(organization_id).language):
        return [f"{extra.quantity} × {extra.price.add_on.name}" for extra in extras]


def announce_price(*, old_id: UUID, new_id: UUID, actor: str, now: datetime, notice: timedelta) -> PriceChange:
    """Customers of one price go over to another when they renew after the notice. Raises PriceChangeRefused."""
    return price_changes.announce(old_id=old_id, new_id=new_id, actor=actor, now=now, notice=notice)


def tell_price(fact: Fact) -> None:
    """The mail that says what a subscription will cost, from when on, and that one may leave; once per change."""
    said = fact.data
    key = f"price-changing:{said['subscription_id']}:{said['price_id']}:{said['effective_at']}"
    prices = {"old_amount": said["old_price_id"], "new_amount": said["price_id"]}
    _tell_prices(said, "price_changing", key, prices, effective_at=said["effective_at"])


def tell_price_stays(fact: Fact) -> None:
    """The mail that says that a price that was announced does not come; once per announcement."""
    _tell_prices(fact.data, "price_stays", f"price-stays:{fact.pk}", {"old_amount": fact.data["price_id"]})


def _tell_prices(said: Mapping[str, Any], kind: str, key: str, prices: Mapping[str, str], **context: object) -> None:
    """A mail about what a subscription costs; `prices` by their names in the mail, all of one interval."""
    subscription = billing.subscription(UUID(said["subscription_id"]))
    if subscription is None:
        return
    language = organizations.owner_of(subscription.organization_id).language
    found = {name: Price.objects.get(pk=UUID(pk)) for name, pk in prices.items()}
    tell_subscriber(
        subscription,
        kind,
        key,
        url=f"{settings.PUBLIC_URL}/subscriptions/{subscription.pk}",
        plan=subscription.plan.name,
        interval=found["old_amount"].interval,
        **{name: price.amount.format(language) for name, price in found.items()},
        **context,
    )


def tell_scheduled(fact: Fact) -> None:
    subscription = billing.subscription(UUID(fact.data["subscription_id"]))
    price = Price.objects.select_related("plan").get(pk=UUID(fact.data["price_id"]))
    if subscription is None:
        return
    kind = "add_ons_scheduled" if price.pk == subscription.price_id else "plan_change_scheduled"
    tell_subscriber(
        subscription,
        kind,
        f"plan-change:{fact.pk}",
        plan=price.plan.name,
        effective_at=fact.data["effective_at"],
        add_ons=_written(baskets.next_extras(subscription), subscription.organization_id),
    )
