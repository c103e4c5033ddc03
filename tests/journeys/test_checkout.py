"""From an order to a paid, running instance: exactly once, whoever comes first, and a trial keeps what it has."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime
from functools import partial

import pytest

from parcelle.core.models import Fact
from parcelle.domain.accounts.models import User
from parcelle.domain.billing import orders, payments, trials
from parcelle.domain.billing.gateways.base import Expired
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.catalog.models import Coupon, Price
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.tenancy.models import Membership, Organization
from parcelle.journeys import checkout
from tests import jobs, people
from tests.domain.billing.selling import AWA, LATER, attempt, click, look, open_shop
from tests.people import NOW
from tests.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def price() -> Price:
    return open_shop()


def place(price: Price, *, user: User | None = None, **changes: str) -> Order:
    return checkout.place(
        request_id=uuid.uuid4(),
        price_id=price.pk,
        coupon_code="",
        buyer=replace(AWA, **changes),  # type: ignore[arg-type]
        language="fr",
        user=user,
        now=NOW,
    )


def pay(order: Order) -> None:
    payment = attempt(order)
    click(payment, "approved")
    look(payment)


def fulfil(order: Order) -> None:
    checkout.fulfil(Fact.objects.get(name="OrderPaid", data__order_id=str(order.pk)))
    order.refresh_from_db()


def test_somebody_new_pays_and_has_everything(price: Price) -> None:
    order = place(price, email=" Awa@Example.COM ", company="Diop\n& Fils")
    pay(order)
    fulfil(order)
    user = User.objects.get(email="awa@example.com")
    organization = Organization.objects.get()
    assert (organization.name, organization.slug) == ("Diop & Fils", "diop-fils")
    assert Membership.objects.get().role == "owner"
    assert Membership.objects.get().user == user
    subscription = Subscription.objects.get()
    assert (subscription.state, subscription.price, subscription.trial_ends_at) == ("active", price, None)
    instance = Instance.objects.get()
    assert (instance.slug, instance.subscription_id) == ("diop-fils", subscription.pk)
    assert (order.state, order.instance_id, order.subscription) == ("fulfilled", instance.pk, subscription)
    people.work(instance)
    assert instance.state == "live"


def test_nothing_is_given_before_the_money_is_there(price: Price) -> None:
    order = place(price)
    attempt(order)
    assert not Organization.objects.exists()
    assert not Instance.objects.exists()


def test_p08_fulfilling_twice_gives_it_once(price: Price) -> None:
    order = place(price)
    pay(order)
    for _time in range(3):
        fulfil(order)
    assert Instance.objects.count() == Operation.objects.count() == Subscription.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_p08_ten_workers_fulfil_it_once() -> None:
    order = place(open_shop())
    pay(order)
    fact = Fact.objects.get(name="OrderPaid")
    at_once([partial(checkout.fulfil, fact)] * 10).all()
    assert Instance.objects.count() == Subscription.objects.count() == Organization.objects.count() == 1


def test_two_shops_of_one_name_get_two_addresses(price: Price) -> None:
    for email in ("a@example.com", "b@example.com"):
        order = place(price, email=email, company="Diop")
        pay(order)
        fulfil(order)
    assert set(Instance.objects.values_list("slug", flat=True)) == {"diop", "diop-2"}


def test_a_running_trial_becomes_the_paid_subscription_and_keeps_its_instance(price: Price) -> None:
    owner = people.person("Awa", "owner")
    organization = people._organization("Acme", "acme", owner)
    instance = people.live_instance(organization, price.plan)
    order = place(price, user=owner, email="owner@example.com")
    assert order.organization == organization
    pay(order)
    fulfil(order)
    subscription = Subscription.objects.get()
    assert (subscription.state, subscription.pk) == ("active", instance.subscription_id)
    assert order.instance_id == instance.pk
    assert Instance.objects.count() == 1


def test_a_suspended_trial_comes_back_when_it_is_paid(price: Price) -> None:
    owner = people.person("Awa", "owner")
    organization = people._organization("Acme", "acme", owner)
    instance = people.live_instance(organization, price.plan)
    subscription = Subscription.objects.get()
    assert subscription.trial_ends_at is not None
    trials.end(subscription.pk, now=subscription.trial_ends_at)
    Instance.objects.filter(pk=instance.pk).update(state="suspended")
    order = place(price, user=owner)
    pay(order)
    fulfil(order)
    checkout.resume_kept(Fact.objects.get(name="SubscriptionStarted"))
    people.work(instance)
    assert instance.state == "live"
    subscription.refresh_from_db()
    assert (subscription.state, subscription.suspended_at) == ("active", None)


def test_what_costs_nothing_needs_no_payment(price: Price) -> None:
    Coupon.objects.create(code="FREE", percent=100)
    order = checkout.place(
        request_id=uuid.uuid4(), price_id=price.pk, coupon_code="free", buyer=AWA, language="fr", user=None, now=NOW
    )
    fulfil(order)
    assert order.state == "fulfilled"


def test_the_sweeper_finds_what_no_browser_and_no_message_told(price: Price) -> None:
    order = place(price)
    payment = attempt(order)
    click(payment, "approved")
    done = checkout.run(now=LATER)
    assert {what: number for what, number in done.items() if number} == {"looked": 1}
    order.refresh_from_db()
    assert order.state == "paid"
    assert checkout.run(now=LATER)["looked"] == 0


def test_one_order_that_breaks_does_not_stop_the_others(price: Price, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = place(price), place(price, email="b@example.com")
    for order in (first, second):
        payments.record(attempt(order).pk, Expired(), now=LATER)
    lapse = orders.lapse

    def broken(order_id: uuid.UUID, *, now: datetime) -> bool:
        if order_id == first.pk:
            raise RuntimeError("broken")
        return lapse(order_id, now=now)

    broken.__qualname__ = "lapse"
    monkeypatch.setattr(orders, "lapse", broken)
    assert checkout.run(now=first.expires_at)["lapsed"] == 1
    second.refresh_from_db()
    assert second.state == "expired"


def test_the_queue_carries_it_all_the_way(price: Price) -> None:
    order = place(price)
    pay(order)
    jobs.work_off(LATER)
    order.refresh_from_db()
    assert order.state == "fulfilled"
    assert Instance.objects.get().state == "live"
