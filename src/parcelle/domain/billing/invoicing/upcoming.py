"""What a subscription costs next, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from parcelle.core.money import Money
from parcelle.domain.billing import baskets, order_states, price_changes, sellers, states, taxes
from parcelle.domain.billing.invoicing import details
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.billing.quotes import quote


@dataclass(frozen=True, kw_only=True)
class Upcoming:
    subscription: Subscription
    at: datetime
    total: Money
    extras: baskets.Extras = ()


def of(subscription: Subscription) -> Upcoming | None:
    """With tax as it would be decided today; None for what is not paid for, or no longer goes on."""
    if subscription.state != states.ACTIVE or subscription.price is None or subscription.period_end is None:
        return None
    if subscription.cancel_at is not None:
        return None
    asked = subscription.orders.filter(kind=Order.RENEWAL, state=order_states.OPEN).first()
    if asked is not None and asked.due_at is not None:
        return Upcoming(subscription=subscription, at=asked.due_at, total=asked.due, extras=baskets.read(asked.extras))
    price = price_changes.price_at(subscription.next_price or subscription.price, subscription.period_end)
    known = details.of(subscription.organization)
    seller = sellers.current().for_taxes()
    buyer = details.for_taxes(known) if known else taxes.Buyer(country=seller.country, business=True)
    decision = taxes.decide(seller, buyer, rate=subscription.plan.product.vat_rate)
    basket = baskets.Basket(price, baskets.next_extras(subscription))
    total = quote(basket.amount, coupon=None, decision=decision).total
    return Upcoming(subscription=subscription, at=subscription.period_end, total=total, extras=basket.extras)
