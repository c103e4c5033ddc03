"""A customer's bank takes a payment back: it is asked for again, and everybody is told; won back, all is as before."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.domain.billing import dunning, recoveries
from parcelle.domain.billing.models import Order
from parcelle.journeys.renewal import tell_about


def follow(fact: Fact) -> None:
    """What it had paid for is behind from now on, until it is paid again."""
    now = timezone.now()
    order = recoveries.ask(UUID(fact.data["payment_id"]), now=now)
    recoveries.note_on_invoice(UUID(fact.data["order_id"]))
    if order is not None:
        # At once; the schedule does the same for whoever was interrupted here.
        dunning.step(order.pk, now=now)


def tell(fact: Fact) -> None:
    """The mail that says what the bank did, and how to make up for it; once per order."""
    order = Order.objects.select_related("plan").get(pk=UUID(fact.data["order_id"]))
    tell_about(order, "charged_back", f"charged-back:{order.pk}", grace_until=fact.data["grace_until"])


def won(fact: Fact) -> None:
    recoveries.win(UUID(fact.data["payment_id"]), now=timezone.now())
    recoveries.note_on_invoice(UUID(fact.data["order_id"]))


def settle(fact: Fact) -> None:
    """The invoice counts as paid again; what came twice meanwhile is the customer's credit."""
    order_id = UUID(fact.data["order_id"])
    recoveries.keep_surplus(order_id, now=timezone.now())
    recoveries.note_on_invoice(order_id)


def tell_settled(fact: Fact) -> None:
    """The mail that says that nothing is owed any more; once per order."""
    order = Order.objects.select_related("plan").get(pk=UUID(fact.data["order_id"]))
    tell_about(order, "debt_settled", f"debt-settled:{order.pk}", paid_until=fact.data["paid_until"])
