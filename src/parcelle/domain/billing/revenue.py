"""Monthly recurring revenue: what active subscriptions bring in each month, and how that changed."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from fractions import Fraction

from django.db.models import Sum

from parcelle.core.money import Money
from parcelle.domain.billing import states
from parcelle.domain.billing.models import RevenueMovement, Subscription
from parcelle.domain.catalog.models import Price

_EARNING = (states.ACTIVE, states.PAST_DUE)


def monthly(price: Price) -> Money:
    """A price as so much each month: a year's divided by twelve, half a unit rounded up."""
    return price.amount if price.interval == Price.MONTH else price.amount.times(Fraction(1, 12))


def note(subscription: Subscription, *, now: datetime) -> None:
    """Compares what a subscription brings in with what it did before, and notes the difference.

    Called after every change of its state or price, in the same transaction and under its lock.
    """
    price = subscription.price
    if price is None:
        return
    amount = monthly(price).minor if subscription.state in _EARNING else 0
    before = subscription.monthly_minor
    if amount == before:
        return
    RevenueMovement.objects.create(
        subscription=subscription,
        kind=_kind(subscription, before, amount),
        amount_minor=amount - before,
        currency=price.currency,
        at=now,
    )
    Subscription.objects.filter(pk=subscription.pk).update(monthly_minor=amount)
    subscription.monthly_minor = amount


def _kind(subscription: Subscription, before: int, amount: int) -> str:
    if not before:
        known = RevenueMovement.objects.filter(subscription=subscription).exists()
        return RevenueMovement.REACTIVATION if known else RevenueMovement.NEW
    if not amount:
        return RevenueMovement.CHURN
    return RevenueMovement.EXPANSION if amount > before else RevenueMovement.CONTRACTION


def recurring(at: datetime) -> dict[str, Money]:
    """What came in each month at that moment, by currency."""
    sums = RevenueMovement.objects.filter(at__lte=at).order_by().values_list("currency").annotate(Sum("amount_minor"))
    return {currency: Money(int(minor), currency) for currency, minor in sums}


def movements(since: datetime, until: datetime) -> dict[str, dict[str, Money]]:
    """How that changed after `since` and up to `until`: currency -> kind -> sum, negative for what was lost."""
    found: dict[str, dict[str, Money]] = defaultdict(dict)
    changed = RevenueMovement.objects.filter(at__gt=since, at__lte=until).order_by()
    for currency, kind, minor in changed.values_list("currency", "kind").annotate(Sum("amount_minor")):
        found[currency][kind] = Money(int(minor), currency)
    return dict(found)
