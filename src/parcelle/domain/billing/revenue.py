"""Monthly recurring revenue: what active subscriptions bring in each month, and how that changed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction

from django.db.models import Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone

from parcelle.core.money import Money
from parcelle.domain.billing import baskets, states
from parcelle.domain.billing.baskets import Basket
from parcelle.domain.billing.models import RevenueMovement, Subscription
from parcelle.domain.catalog.models import Price

_EARNING = (states.ACTIVE, states.PAST_DUE)


def monthly(basket: Basket) -> Money:
    """What a period costs as so much each month: a year's divided by twelve, half a unit rounded up."""
    yearly = basket.price.interval == Price.YEAR
    return basket.amount.times(Fraction(1, 12)) if yearly else basket.amount


def note(subscription: Subscription, *, now: datetime) -> None:
    """Compares what a subscription brings in with what it did before, and notes the difference.

    Called after every change of its state or price, in the same transaction and under its lock.
    """
    price = subscription.price
    if price is None:
        return
    amount = monthly(baskets.of(subscription)).minor if subscription.state in _EARNING else 0
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


@dataclass(frozen=True, kw_only=True)
class Month:
    """What changed in one month of the calendar, and what came in each month at its end, or by now."""

    first: date
    changes: dict[str, Money]
    at_end: Money


def by_month(now: datetime, *, count: int = 12) -> dict[str, list[Month]]:
    """The last months of each currency, the newest first."""
    firsts = _firsts(timezone.localdate(now), count)
    since = timezone.make_aware(datetime.combine(firsts[-1], datetime.min.time()))
    recent = RevenueMovement.objects.filter(at__gte=since, at__lte=now).order_by()
    grouped = recent.annotate(month=TruncMonth("at")).values_list("currency", "month", "kind")
    found: dict[tuple[str, date], dict[str, Money]] = defaultdict(dict)
    for currency, month, kind, minor in grouped.annotate(Sum("amount_minor")):
        found[currency, timezone.localdate(month)][kind] = Money(int(minor), currency)
    before = RevenueMovement.objects.filter(at__lt=since).order_by().values_list("currency")
    level = {currency: Money(int(minor), currency) for currency, minor in before.annotate(Sum("amount_minor"))}
    currencies = sorted({*level, *(currency for currency, _month in found)})
    result: dict[str, list[Month]] = {currency: [] for currency in currencies}
    for currency in currencies:
        at_end = level.get(currency, Money.zero(currency))
        for first in reversed(firsts):
            changes = found.get((currency, first), {})
            at_end = Money.total([at_end, *changes.values()], currency)
            result[currency].insert(0, Month(first=first, changes=changes, at_end=at_end))
    return result


def _firsts(today: date, count: int) -> list[date]:
    months = (today.year * 12 + today.month - 1 - back for back in range(count))
    return [date(month // 12, month % 12 + 1, 1) for month in months]
