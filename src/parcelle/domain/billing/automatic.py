"""Renewals that are taken from a saved method, on the days of the plan's calendar, without the customer there.

Each day has one attempt, whose key follows from the order and the day: whoever is interrupted goes on with the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID, uuid5

from django.db import transaction

from parcelle.domain.billing import calendars, order_states, payments, saved_methods, states
from parcelle.domain.billing.errors import GatewayUnusable, OrderClosed, PaymentOpen
from parcelle.domain.billing.models import Order
from parcelle.domain.billing.renewals import lock


def to_charge(now: datetime) -> Iterator[UUID]:
    """Renewals that should be taken now, the oldest first."""
    due = Order.objects.filter(kind=Order.RENEWAL, state=order_states.OPEN, charge_at__lte=now)
    yield from due.order_by("charge_at").values_list("pk", flat=True).iterator(chunk_size=2000)


@transaction.atomic
def begin(order_id: UUID, *, now: datetime) -> UUID | None:
    """The intention: the stored attempt that is to be carried out; None when there is nothing to take it from.

    While another attempt may still succeed nothing is begun: the next day of the calendar tries again.
    """
    order = _lock_order(order_id)
    if order.state != order_states.OPEN or order.charge_at is None or order.charge_at > now:
        return None
    assert order.subscription_id is not None and order.due_at is not None
    calendar = calendars.of(order.price.plan)
    running = lock(order.subscription_id).state in {states.ACTIVE, states.PAST_DUE}
    order.charge_at = calendar.charged_at(order.due_at, after=now) if running else None
    order.save(update_fields=["charge_at"])
    saved = saved_methods.of(order.organization_id)
    if saved is None or not running:
        return None
    key = uuid5(order.pk, f"charge {calendar.charge_day(order.due_at, now=now)}")
    try:
        payment = payments.begin(
            order.pk, gateway=saved.gateway, details={saved_methods.SAVED: str(saved.pk)}, now=now, key=key
        )
    except (OrderClosed, PaymentOpen, GatewayUnusable):
        return None
    return payment.pk


def _lock_order(order_id: UUID) -> Order:
    return Order.objects.select_for_update(of=("self",)).select_related("price__plan").get(pk=order_id)
