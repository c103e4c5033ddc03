"""One order in every state, for the pictures: `python -m tests.browser.orders make` prints name -> path as JSON.

Works on the installation that PARCELLE_HOME names. `forget` removes what `make` left.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from datetime import datetime, timedelta
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parcelle.config.settings")
import django

django.setup()
from parcelle.core import context

context.of_process(context.Platform.COMMANDS)

from django.utils import timezone

from parcelle.domain.billing import gateways, order_links, orders, payments, references, transfer_states
from parcelle.domain.billing.gateways.base import Declined
from parcelle.domain.billing.models import FakeCharge, Order, Payment, Transfer
from parcelle.domain.catalog.models import Price
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance, Operation, Target
from parcelle.domain.tenancy.models import Organization

EMAIL = "captures-orders@example.com"
SLUG = "captures-failed"
TRANSFERS = ("awaiting", "review", "partial", "second", "parked")


def make() -> dict[str, str]:
    forget()
    now = timezone.now()
    lapsed = _place(now - 2 * orders.OPEN_FOR)
    orders.lapse(lapsed.pk, now=now)
    declined = _place(now)
    payments.record(_attempt(declined, now).pk, Declined(code="not_enough_funds"), now=now)
    waiting, unknown, paid = _place(now), _place(now), _place(now)
    pending = _attempt(waiting, now)
    # What no page can bring about, or not for long enough to be photographed.
    Payment.objects.filter(pk=_attempt(unknown, now).pk).update(state="unknown", look_at=None)
    Payment.objects.filter(pk=pending.pk).update(look_at=None)
    Order.objects.filter(pk=paid.pk).update(state="paid")
    # A way to pay that is switched off can still be looked at.
    gateways.make_known()
    made = {
        "order-choose": _place(now),
        "order-declined": declined,
        "order-waiting": waiting,
        "order-unknown": unknown,
        "order-paid": paid,
        "order-lapsed": lapsed,
        "order-phone": _waits(_place(now), "mtn_momo", now, details={"phone": "+237671234567"}, memo={"dial": "*126#"}),
        **{f"order-transfer-{state}": _transfer(_place(now), state, now) for state in TRANSFERS},
        "order-creation-failed": _failed(_place(now), now),
    }
    paths = {name: order_links.link_of(order.pk).partition("/orders")[2] for name, order in made.items()}
    charge = FakeCharge.objects.get(payment_id=pending.pk)
    return {**{name: f"/orders{path}" for name, path in paths.items()}, "test-payment": f"/test-payment/{charge.pk}"}


def forget() -> None:
    ours = Order.objects.filter(email=EMAIL)
    Transfer.objects.filter(payment__order__in=ours).delete()
    FakeCharge.objects.filter(payment_id__in=Payment.objects.filter(order__in=ours).values("pk")).delete()
    Payment.objects.filter(order__in=ours).delete()
    ours.delete()
    Instance.objects.filter(slug=SLUG).delete()
    Organization.objects.filter(slug=SLUG).delete()


def _place(now: datetime) -> Order:
    price = Price.objects.get(plan__slug="silver", interval="month", currency="EUR", retired_at=None)
    buyer = orders.Buyer(first_name="Camille", last_name="Photo", company="Captures", email=EMAIL)
    return orders.place(
        request_id=uuid.uuid4(),
        price_id=price.pk,
        coupon_code="",
        buyer=buyer,
        language="fr",
        now=now,
        actor="captures",
    )


def _attempt(order: Order, now: datetime) -> Payment:
    payment = payments.begin(order.pk, gateway="fake", details={}, now=now)
    payments.carry_out(payment.pk, now=now)
    return payment


def _waits(order: Order, gateway: str, now: datetime, **more: Any) -> Order:
    """On a service that nobody calls for a picture."""
    Payment.objects.create(
        number=order.number.replace("CMD-", "PAR").replace("-", ""),
        order=order,
        gateway=gateway,
        state="pending",
        amount_minor=order.total_minor,
        currency=order.currency,
        created_at=now,
        **more,
    )
    return order


def _transfer(order: Order, state: str, now: datetime) -> Order:
    payment = _waits(order, "bank_transfer", now).payments.get()
    Transfer.objects.create(
        payment=payment,
        key=payment.key,
        reference=references.make(payment.number),
        state=state,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        received_minor=2000 if state == "partial" else 0,
        reason="unreadable" if state == "awaiting" else "",
        told={
            "holder": "Atelier Parcelle",
            "iban": "FR1420041010050500013M02606",
            "bic": "PSSTFRPPXXX",
            "bank": "La Banque Postale",
            "amount": str(payment.amount),
            "reference": references.make(payment.number),
        },
        created_at=now,
        expires_at=now + timedelta(days=14),
        waiting_since=now if state in transfer_states.TO_CONFIRM else None,
    )
    return order


def _failed(order: Order, now: datetime) -> Order:
    """Paid, and its instance could not be created."""
    organization = Organization.objects.create(name="Captures", slug=SLUG, created_at=now)
    instance = Instance.objects.create(
        organization=organization,
        product=order.plan.product,
        target=Target.objects.get(name=order.plan.product.target_name),
        slug=SLUG,
        state=states.FAILED,
        created_at=now,
    )
    Operation.objects.create(
        kind="create",
        instance=instance,
        state=states.FAILED,
        created_at=now,
        started_at=now - timedelta(seconds=9),
        finished_at=now,
        deadline_at=now,
        error_code="service_failed",
    )
    Order.objects.filter(pk=order.pk).update(state="fulfilled", instance_id=instance.pk)
    return order


if __name__ == "__main__":
    if sys.argv[1] == "make":
        print(json.dumps(make()))
    else:
        forget()
