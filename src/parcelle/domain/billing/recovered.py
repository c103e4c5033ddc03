"""What an order that makes up for a charge-back is about: the payment that a bank took back."""

from __future__ import annotations

from uuid import UUID, uuid5

from parcelle.domain.billing import ledger
from parcelle.domain.billing.models import Order, Payment


def request_id(payment: Payment) -> UUID:
    """Under which it is asked for again; another one when what was won back is lost again, by the same name."""
    times = ledger.times_charged_back(payment)
    return uuid5(payment.pk, f"recovery {payment.dispute}" + (f" {times}" if times > 1 else ""))


def paid_before(order: Order) -> Payment | None:
    """The payment that this order makes up for."""
    contested = Payment.objects.filter(order__subscription=order.subscription_id).exclude(dispute="")
    return next((payment for payment in contested if request_id(payment) == order.request_id), None)


def invoiced(order: Order) -> Order | None:
    """The order whose invoice says what this one is paid for: itself, unless it makes up for a charge-back."""
    if order.kind != Order.RECOVERY:
        return order
    payment = paid_before(order)
    return payment.order if payment is not None else None
