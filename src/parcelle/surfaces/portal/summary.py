"""What an order comes to, line by line, as it stands beside the form and the payment."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from parcelle.core.money import Money
from parcelle.domain.billing.models import Order
from parcelle.domain.billing.quotes import Quote
from parcelle.domain.billing.taxes import Decision
from parcelle.domain.catalog.models import Plan, PlanFeature, Price

# Why there is no VAT on it.
REASONS: dict[str, Promise] = {
    "VATEX-EU-AE": _("Reverse charge: you declare the VAT yourself."),
    "VATEX-EU-O": _("No French VAT outside the European Union."),
    "VATEX-FR-FRANCHISE": _("VAT not applicable, art. 293 B of the French tax code."),
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    plan: Plan
    interval: str
    subtotal: Money
    discount: Money
    tax: Money
    total: Money
    rate: Decimal
    reason: str
    coupon: str = ""
    refused: str = ""

    @classmethod
    def of_price(cls, price: Price, sum_: Quote, *, coupon: str, refused: str) -> Summary:
        return cls(
            plan=price.plan,
            interval=price.interval,
            subtotal=sum_.subtotal,
            discount=sum_.discount,
            tax=sum_.tax,
            total=sum_.total,
            rate=sum_.decision.rate,
            reason=sum_.decision.reason,
            coupon=coupon,
            refused=refused,
        )

    @classmethod
    def of_order(cls, order: Order) -> Summary:
        decision = Decision.read(order.tax)
        return cls(
            plan=order.plan,
            interval=order.price.interval,
            subtotal=Money(order.subtotal_minor, order.currency),
            discount=Money(order.discount_minor, order.currency),
            tax=Money(order.tax_minor, order.currency),
            total=order.total,
            rate=decision.rate,
            reason=decision.reason,
            coupon=order.coupon.code if order.coupon else "",
        )

    @property
    def why_no_tax(self) -> Promise | str:
        return REASONS.get(self.reason, "")

    @property
    def included(self) -> list[PlanFeature]:
        return list(self.plan.included.select_related("feature")[:6])
