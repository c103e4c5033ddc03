"""An order left open, or left after a declined payment: one mail with a link that leads back to it."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import order_links, order_states, transfers
from parcelle.domain.billing.models import Order, Payment
from parcelle.domain.notifications import actions as notifications


def remind(fact: Fact) -> None:
    """The mail about an order that is not paid yet; once per order, and not when it has been paid meanwhile."""
    order = Order.objects.select_related("plan__product").get(pk=UUID(fact.data["order_id"]))
    if order.state == order_states.OPEN:
        _send(order, "order_open", f"order-open:{order.pk}", amount=order.total)


def tell_declined(fact: Fact) -> None:
    """The mail about a payment that did not work, with the reason; once per attempt, and not when it was paid since."""
    payment = Payment.objects.select_related("order__plan__product").get(pk=UUID(fact.data["payment_id"]))
    if payment.order.state != order_states.OPEN:
        return
    transfer = transfers.of_payment(payment)
    _send(
        payment.order,
        "payment_declined",
        f"payment-declined:{payment.pk}",
        amount=payment.amount,
        reason=transfer.reason if transfer else payment.reason,
        said=transfer.reason_text if transfer else "",
        transfer=transfer is not None,
    )


def _send(order: Order, kind: str, key: str, *, amount: Money, **more: str | bool) -> None:
    notifications.send(
        key=key,
        kind=kind,
        to=order.email,
        language=order.language,
        context={
            "first_name": name_of(order),
            "product": order.plan.product.name,
            "plan": order.plan.name,
            "number": order.number,
            "amount": amount.format(order.language),
            "url": order_links.link_of(order.pk),
            "open_until": order.expires_at.isoformat(),
            **more,
        },
        organization_id=order.organization_id,
        now=timezone.now(),
    )


def name_of(order: Order) -> str:
    """Nobody has proven that the address is theirs: what could be an address of a page is not sent to it as a name."""
    name = str(order.buyer.get("first_name", ""))
    return "" if set(name) & set("./:@") else name
