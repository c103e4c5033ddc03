"""A customer takes another plan: more of it at once, for the difference; less of it when their period ends."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from parcelle.core.models import Fact
from parcelle.domain.billing import plan_changes
from parcelle.domain.billing import queries as billing
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.billing.plan_changes import Change
from parcelle.domain.catalog.models import Price
from parcelle.journeys.renewal import tell_about, tell_subscriber


def preview(subscription: Subscription, price: Price, *, now: datetime) -> Change:
    """What it would cost and when it would count. Raises ChangeRefused."""
    return plan_changes.preview(subscription, price, now=now)


def change(subscription_id: UUID, *, price_id: UUID, request_id: UUID, actor: str, now: datetime) -> Order | None:
    """The order that a step up is paid with; None for a step down, which waits for the period's end.

    Raises ChangeRefused, NotOnSale, PaymentOpen.
    """
    return plan_changes.change(subscription_id, price_id=price_id, request_id=request_id, actor=actor, now=now)


def tell_changed(fact: Fact) -> None:
    order = Order.objects.select_related("plan").get(pk=UUID(fact.data["order_id"]))
    tell_about(order, "plan_changed", f"plan-changed:{order.pk}", paid_until=fact.data["paid_until"])


def tell_scheduled(fact: Fact) -> None:
    subscription = billing.subscription(UUID(fact.data["subscription_id"]))
    price = Price.objects.select_related("plan").get(pk=UUID(fact.data["price_id"]))
    if subscription is not None:
        tell_subscriber(
            subscription,
            "plan_change_scheduled",
            f"plan-change:{fact.pk}",
            plan=price.plan.name,
            effective_at=fact.data["effective_at"],
        )
