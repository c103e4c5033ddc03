"""Whoever works on a purchase dies before or after any of its steps; whoever comes next brings it to the same end.

Dying is an exception that nothing catches: the open transaction is rolled back, what was committed stays, and what
the payment service has done is done. Afterwards come the browser, which asks again with the same key, and the schedule.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from parcelle.core.models import Fact
from parcelle.domain.billing import orders, payments, subscriptions, usage
from parcelle.domain.billing.errors import OrderClosed, PaymentOpen
from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.gateways.fake import FakeGateway
from parcelle.domain.billing.models import FakeCharge, Order, Payment, Subscription
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning import actions as provisioning
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.tenancy import actions as tenancy
from parcelle.domain.tenancy.models import Organization
from parcelle.journeys import checkout, delivery, order_mails
from tests import jobs
from tests.domain.billing import selling
from tests.people import NOW

pytestmark = [
    pytest.mark.crash,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_blueprints"),
]
KEY = uuid.UUID(int=4711)

# In the order in which they happen.
STEPS: list[tuple[Any, str]] = [
    (payments, "begin"),
    (FakeGateway, "start"),
    (FakeGateway, "fetch"),
    (payments, "record"),
    (orders, "mark_paid"),
    (tenancy, "create_organization"),
    (subscriptions, "activate"),
    (usage, "open_period"),
    (provisioning, "request_instance"),
    (orders, "fulfil"),
    (order_mails, "write"),
]


class Killed(BaseException):
    """Nobody catches it."""


def deadly(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, *, after: bool) -> Callable[[], bool]:
    """The step kills whoever comes to it first; says whether somebody did."""
    step = getattr(where, name)
    killed: list[str] = []

    def dying(*arguments: Any, **named: Any) -> Any:
        if killed:
            return step(*arguments, **named)
        killed.append(name)
        if after:
            step(*arguments, **named)
        raise Killed

    dying.__qualname__ = name
    monkeypatch.setattr(where, name, dying)
    return lambda: bool(killed)


def go_on(order: Order, now: datetime) -> None:
    """The browser asks again, the customer approves what they were asked for, and the schedule does the rest."""
    with suppress(OrderClosed, PaymentOpen):
        checkout.pay(order.pk, gateway="fake", details={}, key=KEY, now=now)
    for charge in FakeCharge.objects.filter(state=FakeCharge.OPEN):
        fake.decide(charge.pk, "approved", code="")
    later = now + timedelta(minutes=1)
    checkout.run(now=later)
    jobs.work_off(later)
    delivery.run(now=later)
    jobs.work_off(later)


def world(order: Order) -> dict[str, Any]:
    order.refresh_from_db()
    return {
        "order": order.state,
        "payments": list(Payment.objects.values_list("state", flat=True)),
        "charges": list(FakeCharge.objects.values_list("state", flat=True)),
        "organizations": Organization.objects.count(),
        "subscriptions": list(Subscription.objects.values_list("state", flat=True)),
        "instances": list(Instance.objects.values_list("state", flat=True)),
        "operations": list(Operation.objects.values_list("kind", "state")),
        "mails": sorted(Message.objects.values_list("kind", flat=True)),
        "paid": Fact.objects.filter(name="OrderPaid").count(),
        "received": [fact.data["surplus"] for fact in Fact.objects.filter(name="PaymentReceived")],
        "fulfilled": Fact.objects.filter(name="OrderFulfilled").count(),
    }


DONE = {
    "order": "fulfilled",
    "payments": ["paid"],
    "charges": ["approved"],
    "organizations": 1,
    "subscriptions": ["active"],
    "instances": ["live"],
    "operations": [("create", "succeeded")],
    # The first because French companies have a SIREN, and this one has not said it.
    "mails": ["billing_details", "order_paid", "welcome"],
    "paid": 1,
    "received": [False],
    "fulfilled": 1,
}


def test_undisturbed_it_ends_like_this() -> None:
    order = selling.order(selling.open_shop())
    go_on(order, NOW + timedelta(minutes=1))
    assert world(order) == DONE


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("where", "name"), STEPS, ids=[name for _where, name in STEPS])
def test_dying_there_changes_nothing_in_the_end(
    where: Any, name: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = selling.order(selling.open_shop())
    died = deadly(monkeypatch, where, name, after=after)
    with pytest.raises(Killed):
        go_on(order, NOW + timedelta(minutes=1))
    assert died()
    for minutes in (10, 20, 30):
        go_on(order, NOW + timedelta(minutes=minutes))
    assert world(order) == DONE
