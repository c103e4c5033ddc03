"""What the vendor is written about, because nothing goes on until they act."""

from __future__ import annotations

from email.utils import parseaddr
from uuid import UUID

from django.conf import settings

from parcelle.core.models import Fact
from parcelle.domain.billing import sellers
from parcelle.domain.billing.models import Payment
from parcelle.domain.notifications import actions as notifications

_NAMES = {"paypal": "PayPal", "mtn_momo": "MTN Mobile Money", "stripe": "Stripe"}


def payment_setup(fact: Fact) -> None:
    """A payment service turns customers away because of our own account; at most once a day for each."""
    if fact.data["code"] != "seller_setup":
        return
    payment = Payment.objects.select_related("order").get(pk=UUID(fact.data["payment_id"]))
    notifications.send(
        key=f"payment-setup:{payment.gateway}:{fact.at:%Y-%m-%d}",
        kind="payment_setup",
        to=operator_address(),
        language=settings.LANGUAGE_CODE[:2],
        context={
            "method": _NAMES.get(payment.gateway, payment.gateway),
            "number": payment.order.number,
            "remark": payment.remark or payment.reason,
            "url": f"{settings.PUBLIC_URL}/admin/billing/payment/{payment.pk}/change/",
        },
        now=fact.at,
    )


def operator_address() -> str:
    """Where the vendor reads mail."""
    return sellers.current().email or parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
