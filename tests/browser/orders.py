"""One order in every state, for the pictures: `python -m tests.browser.orders make` prints name -> path as JSON.

Works on the installation that PARCELLE_HOME names. `forget` removes what `make` left.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from datetime import datetime, timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parcelle.config.settings")
import django

django.setup()

from django.utils import timezone

from parcelle.domain.billing import order_links, orders, payments
from parcelle.domain.billing.gateways.base import Declined
from parcelle.domain.billing.models import FakeCharge, Order, Payment
from parcelle.domain.catalog.models import Price
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance, Operation, Target
from parcelle.domain.tenancy.models import Organization

EMAIL = "captures-orders@example.com"
SLUG = "captures-failed"


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
    made = {
        "order-choose": _place(now),
        "order-declined": declined,
        "order-waiting": waiting,
        "order-unknown": unknown,
        "order-paid": paid,
        "order-lapsed": lapsed,
        "order-creation-failed": _failed(_place(now), now),
    }
    paths = {name: order_links.link_of(order.pk).partition("/orders")[2] for name, order in made.items()}
    charge = FakeCharge.objects.get(payment_id=pending.pk)
    return {**{name: f"/orders{path}" for name, path in paths.items()}, "test-payment": f"/test-payment/{charge.pk}"}


def forget() -> None:
    ours = Order.objects.filter(email=EMAIL)
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
