"""A renewal is taken from what the customer left for it, and what became of that is told."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.utils import timezone

from parcelle.core.context import Platform, as_platform
from parcelle.core.models import Fact
from parcelle.domain.billing import automatic, dunning, payments, saved_methods
from parcelle.domain.billing.models import Order, Payment, SavedMethod
from parcelle.journeys.renewal import each, tell_about


def run(*, now: datetime) -> dict[str, int]:
    """Takes every renewal whose turn it is; one that fails never stops the others. Safe to run twice."""
    return each(automatic.to_charge(now), charge, problem=dunning.note_problem, now=now)


def charge(order_id: UUID, *, now: datetime) -> bool:
    """One attempt of one renewal; false when there is nothing to take it from."""
    payment_id = automatic.begin(order_id, now=now)
    if payment_id is None:
        return False
    payments.carry_out(payment_id, now=now)
    return True


@as_platform(Platform.CHANGE)
def remove(organization_id: UUID, *, actor: str, now: datetime) -> bool:
    """Nothing is taken any more by itself; false when nothing was."""
    return saved_methods.remove(organization_id, actor=actor, now=now)


def adopt(fact: Fact) -> None:
    """What was left with a first order is the customer's whom it made."""
    saved_methods.adopt(UUID(fact.data["order_id"]), now=timezone.now())


def forget(fact: Fact) -> None:
    """The payment service forgets what the customer took back."""
    saved_methods.forget(UUID(fact.data["method_id"]))


def tell_declined(fact: Fact) -> None:
    """The mail that says that it could not be taken, and what to do; once per attempt."""
    payment = Payment.objects.get(pk=UUID(fact.data["payment_id"]))
    if not saved_methods.is_automatic(payment):
        return
    order = Order.objects.select_related("plan").get(pk=payment.order_id)
    saved = SavedMethod.objects.get(pk=payment.details[saved_methods.SAVED])
    tell_about(
        order,
        "charge_declined",
        f"charge-declined:{payment.pk}",
        method=saved.label,
        again_at=order.charge_at.isoformat() if order.charge_at else None,
        grace_until=order.grace_until.isoformat() if order.grace_until else None,
    )
