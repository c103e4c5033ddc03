"""What an order comes to, line by line, as it stands beside the form and the payment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.functional import Promise

from parcelle.core.money import Money
from parcelle.domain.billing import baskets
from parcelle.domain.billing.baskets import Basket
from parcelle.domain.billing.models import Order
from parcelle.domain.billing.quotes import Quote
from parcelle.domain.billing.taxes import Decision
from parcelle.domain.catalog import offers
from parcelle.domain.catalog.models import AddOn, Plan, PlanFeature
from parcelle.surfaces.refusals import WHY_NO_TAX


@dataclass(frozen=True)
class AddOnLine:
    """So many of an add-on, and what they come to; fewer of it are a negative number."""

    add_on: AddOn
    quantity: int
    amount: Money


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
    # What to say about a VAT number while it is being typed.
    vat_remark: str = ""
    # What of it the customer's credit paid.
    credit: Money | None = None
    # The plan by itself, where there is something beside it.
    plan_amount: Money | None = None
    add_ons: Sequence[AddOnLine] = ()

    @classmethod
    def of_basket(cls, basket: Basket, sum_: Quote, *, coupon: str, refused: str, vat_remark: str = "") -> Summary:
        price = basket.price
        return cls(
            plan=price.plan,
            interval=price.interval,
            plan_amount=price.amount,
            add_ons=[AddOnLine(extra.price.add_on, extra.quantity, extra.amount) for extra in basket.extras],
            subtotal=sum_.subtotal,
            discount=sum_.discount,
            tax=sum_.tax,
            total=sum_.total,
            rate=sum_.decision.rate,
            reason=sum_.decision.reason,
            coupon=coupon,
            refused=refused,
            vat_remark=vat_remark,
        )

    @classmethod
    def of_order(cls, order: Order) -> Summary:
        decision = Decision.read(order.tax)
        add_ons = [
            AddOnLine(part.extra.price.add_on, part.more, part.amount) for part in baskets.parts(order) if part.amount
        ]
        plan_minor = order.subtotal_minor - sum(line.amount.minor for line in add_ons)
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
            credit=order.credit,
            plan_amount=Money(plan_minor, order.currency) if plan_minor else None,
            add_ons=add_ons,
        )

    @property
    def due(self) -> Money:
        return self.total - self.credit if self.credit is not None else self.total

    @property
    def why_no_tax(self) -> Promise | str:
        return WHY_NO_TAX.get(self.reason, "")

    @property
    def included(self) -> list[PlanFeature]:
        return offers.included_in(self.plan.pk, most=6)
