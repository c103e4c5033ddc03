"""What the tests of selling start from."""

from __future__ import annotations

import uuid
from datetime import timedelta

from parcelle.core.money import Money
from parcelle.domain.billing import gateways, orders, payments
from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.models import FakeCharge, GatewaySettings, Order, Payment
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.catalog.models import Coupon, Plan, Price
from tests import people
from tests.people import NOW

LATER = NOW + timedelta(minutes=5)
AWA = Buyer(first_name="Awa", last_name="Diop", company="Diop SARL", email="awa@example.com", country="FR")


def open_shop(amount: str = "49.00", currency: str = "EUR", *, plan: Plan | None = None) -> Price:
    """One plan at one price, and the test payment switched on."""
    GatewaySettings.objects.get_or_create(name="fake", defaults={"enabled": True, "values": {"secret": "s" * 32}})
    wanted = Money.of(amount, currency)
    return Price.objects.create(
        plan=plan or people.offer(),
        interval=Price.MONTH,
        currency=currency,
        amount_minor=wanted.minor,
        created_at=NOW,
    )


def order(
    price: Price, *, buyer: Buyer = AWA, coupon: Coupon | None = None, request_id: uuid.UUID | None = None
) -> Order:
    return orders.place(
        request_id=request_id or uuid.uuid4(),
        price_id=price.pk,
        coupon_code=coupon.code if coupon else "",
        buyer=buyer,
        language="fr",
        now=NOW,
    )


def attempt(placed: Order) -> Payment:
    """An attempt on the test payment that the customer can now click on."""
    payment = payments.begin(placed.pk, gateway="fake", details={}, now=NOW)
    payments.carry_out(payment.pk, now=NOW)
    payment.refresh_from_db()
    return payment


def click(payment: Payment, state: str, code: str = "") -> None:
    fake.decide(FakeCharge.objects.get(payment_id=payment.pk).pk, state, code=code)


def look(payment: Payment) -> Payment:
    payments.look(payment.pk, now=LATER)
    payment.refresh_from_db()
    return payment


__all__ = ["AWA", "LATER", "attempt", "click", "gateways", "look", "open_shop", "order"]
