"""What a subscription costs next, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from parcelle.core.money import Money
from parcelle.domain.billing import sellers, states, taxes
from parcelle.domain.billing.invoicing import details
from parcelle.domain.billing.models import Subscription
from parcelle.domain.billing.quotes import quote


@dataclass(frozen=True, kw_only=True)
class Upcoming:
    subscription: Subscription
    at: datetime
    total: Money


def of(subscription: Subscription) -> Upcoming | None:
    """With tax as it would be decided today; None for what is not paid for, or no longer goes on."""
    if subscription.state != states.ACTIVE or subscription.price is None or subscription.period_end is None:
        return None
    known = details.of(subscription.organization)
    seller = sellers.current().for_taxes()
    buyer = details.for_taxes(known) if known else taxes.Buyer(country=seller.country, business=True)
    decision = taxes.decide(seller, buyer, rate=subscription.plan.product.vat_rate)
    total = quote(subscription.price.amount, coupon=None, decision=decision).total
    return Upcoming(subscription=subscription, at=subscription.period_end, total=total)
