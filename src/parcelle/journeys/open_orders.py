"""An order that somebody left open: one mail with a link that leads back to it."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.domain.billing import order_links, order_states
from parcelle.domain.billing.models import Order
from parcelle.domain.notifications import actions as notifications


def remind(fact: Fact) -> None:
    """The mail about an order that is not paid yet; once per order, and not when it has been paid meanwhile."""
    order = Order.objects.select_related("plan__product").get(pk=UUID(fact.data["order_id"]))
    if order.state != order_states.OPEN:
        return
    notifications.send(
        key=f"order-open:{order.pk}",
        kind="order_open",
        to=order.email,
        language=order.language,
        context={
            "first_name": name_of(order),
            "product": order.plan.product.name,
            "plan": order.plan.name,
            "number": order.number,
            "amount": order.total.format(order.language),
            "url": order_links.link_of(order.pk),
            "open_until": order.expires_at.isoformat(),
        },
        organization_id=order.organization_id,
        now=timezone.now(),
    )


def name_of(order: Order) -> str:
    """Nobody has proven that the address is theirs: what could be an address of a page is not sent to it as a name."""
    name = str(order.buyer.get("first_name", ""))
    return "" if set(name) & set("./:@") else name
