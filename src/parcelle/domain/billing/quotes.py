"""What a sale comes to: subtotal, reduction, VAT and total, to the last unit. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from parcelle.core.money import Money
from parcelle.domain.billing.taxes import Decision
from parcelle.domain.catalog.models import Coupon


@dataclass(frozen=True, kw_only=True)
class Quote:
    """`total` is `subtotal` less `discount` plus `tax`. All in one currency, none negative."""

    subtotal: Money
    discount: Money
    tax: Money
    total: Money
    decision: Decision

    @property
    def net(self) -> Money:
        return self.subtotal - self.discount


def quote(subtotal: Money, *, coupon: Coupon | None, decision: Decision) -> Quote:
    discount = reduction(subtotal, coupon) if coupon else Money.zero(subtotal.currency)
    net = subtotal - discount
    tax = net.times(decision.rate / 100)
    return Quote(subtotal=subtotal, discount=discount, tax=tax, total=net + tax, decision=decision)


def reduction(subtotal: Money, coupon: Coupon) -> Money:
    """What the coupon takes off; never more than there is."""
    if coupon.kind == coupon.PERCENT:
        return subtotal.times((coupon.percent or Decimal(0)) / 100)
    return min(subtotal, Money(coupon.amount_minor or 0, coupon.currency))


def yearly_saving(monthly: Money, yearly: Money) -> int:
    """How many percent a year costs less than twelve months, rounded down; 0 when it does not."""
    twelve = monthly * 12
    if not twelve or yearly >= twelve:
        return 0
    return (twelve - yearly).minor * 100 // twelve.minor
