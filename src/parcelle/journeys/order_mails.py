"""What is written to whoever ordered: that their money arrived, and for what."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import order_links, payment_states
from parcelle.domain.billing.models import Order
from parcelle.domain.billing.taxes import Decision
from parcelle.domain.notifications import actions as notifications


def confirm(fact: Fact) -> None:
    """The mail that says that an order is paid; once per order."""
    order = Order.objects.select_related("plan__product", "price", "coupon").get(pk=UUID(fact.data["order_id"]))
    if order.kind != Order.NEW:
        # A renewal or a change has a mail of its own, which says until when it is paid.
        return
    paid = order.payments.filter(state__in=(payment_states.PAID, payment_states.PAID_LATE)).first()
    write(
        order,
        "order_paid",
        key=f"order-paid:{order.pk}",
        url=order_links.link_of(order.pk),
        interval=order.price.interval,
        subtotal=_text(order, order.subtotal_minor),
        discount=_text(order, -order.discount_minor) if order.discount_minor else "",
        coupon=order.coupon.code if order.coupon else "",
        tax=_text(order, order.tax_minor) if order.tax_minor else "",
        tax_rate=f"{Decision.read(order.tax).rate.normalize():f}",
        total=_text(order, order.total_minor),
        payment=paid.number if paid else "",
        order_paid_at=order.paid_at.isoformat() if order.paid_at else "",
    )


def write(order: Order, kind: str, *, key: str, **context: Any) -> None:
    """Queues a mail of a kind in `templates/notifications/` to who ordered; once per `key`."""
    buyer = order.buyer
    notifications.send(
        key=key,
        kind=kind,
        to=order.email,
        language=order.language,
        context={
            "first_name": buyer.get("first_name", ""),
            "company": buyer.get("company") or f"{buyer.get('first_name', '')} {buyer.get('last_name', '')}".strip(),
            "product": order.plan.product.name,
            "plan": order.plan.name,
            "number": order.number,
            "dashboard_url": f"{settings.PUBLIC_URL}/dashboard",
            **context,
        },
        organization_id=order.organization_id,
        instance_id=order.instance_id,
        now=timezone.now(),
    )


def _text(order: Order, minor: int) -> str:
    return Money(minor, order.currency).format(order.language)
