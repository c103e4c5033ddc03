"""What a payment service is told about a payment: values, made of rows that were stored before."""

from __future__ import annotations

from django.conf import settings

from parcelle.domain.billing import payment_states, saved_methods
from parcelle.domain.billing.gateways.base import Charge, Payer
from parcelle.domain.billing.models import Payment


def charge_of(payment: Payment) -> Charge:
    """The values a gateway works with; the same for every repetition of the attempt."""
    order = payment.order
    buyer = order.buyer
    page = f"{settings.PUBLIC_URL}/orders/{order.pk}"
    return Charge(
        payment_id=payment.pk,
        number=payment.number,
        order_number=order.number,
        key=payment.key,
        amount=payment.amount,
        description=f"{order.plan.product.name} {order.plan.name} {order.number}",
        payer=Payer(
            name=buyer.get("company") or f"{buyer.get('first_name', '')} {buyer.get('last_name', '')}".strip(),
            email=order.email,
            phone=buyer.get("phone", ""),
            country=buyer.get("country", ""),
            language=order.language,
        ),
        return_url=f"{page}/return/{payment.pk}",
        cancel_url=f"{page}?cancelled=1",
        webhook_url=f"{settings.PUBLIC_URL}/webhooks/{payment.gateway}",
        details=payment.details,
        provider_id=payment.provider_id,
        memo=payment.memo,
        closed=payment.state not in payment_states.UNSETTLED,
        keep=bool(payment.details.get(saved_methods.KEEP)),
        saved=saved_methods.reference_of(payment),
    )
