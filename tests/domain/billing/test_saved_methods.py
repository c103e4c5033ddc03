"""A customer lets renewals be taken from what they paid with: only where they agreed, until they take it back.

Against the simulator of Stripe: what is lost, declined or late is as for every other payment.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from parcelle.core.models import Fact
from parcelle.domain.billing import automatic, payments, renewals, saved_methods, subscriptions, webhooks
from parcelle.domain.billing.errors import PaymentOpen
from parcelle.domain.billing.models import GatewayEvent, GatewaySettings, Order, Payment, SavedMethod, Subscription
from parcelle.journeys import automatic_payment, renewal
from tests.domain.billing.subscribing import DAY, START, Shop, asked, run, shop, subscribe
from tests.simulators import stripe
from tests.simulators.stripe import Fault

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def server() -> Iterator[stripe.Stripe]:
    with stripe.serving() as running:
        yield running


@pytest.fixture
def sold(server: stripe.Stripe) -> Shop:
    values = {"secret_key": server.key, "webhook_secrets": server.webhook_secret, "api_url": server.url}
    GatewaySettings.objects.create(name="stripe", enabled=True, values=values)
    return shop()


@pytest.fixture
def subscription(sold: Shop, server: stripe.Stripe) -> Subscription:
    """Renewed once by a customer who left their card for the periods after."""
    made = subscribe(sold.bronze)
    renewal.run(now=START + 21 * DAY)
    by_card(waiting(made), server, now=START + 21 * DAY, keep="1")
    renewals.fulfil(waiting_or_paid(made).pk, now=START + 21 * DAY)
    return Subscription.objects.get(pk=made.pk)


def by_card(order: Order, server: stripe.Stripe, *, now: datetime, keep: str) -> Payment:
    payment = payments.begin(order.pk, gateway="stripe", details={"keep": keep}, now=now)
    payments.carry_out(payment.pk, now=now)
    server.pay(server.session_of(payment.pk))
    payments.look(payment.pk, now=now)
    payment.refresh_from_db()
    return payment


def waiting(subscription: Subscription) -> Order:
    order = asked(subscription)
    assert order is not None
    return order


def waiting_or_paid(subscription: Subscription) -> Order:
    return subscription.orders.filter(kind=Order.RENEWAL).latest("created_at")


def due(subscription: Subscription) -> datetime:
    assert subscription.period_end is not None
    return subscription.period_end


def taken(subscription: Subscription) -> list[tuple[str, str]]:
    """State and reason of every attempt on the newest renewal."""
    rows = waiting_or_paid(subscription).payments.order_by("created_at")
    return list(rows.values_list("state", "reason"))


def charge(subscription: Subscription, now: datetime) -> dict[str, int]:
    renewal.run(now=now)
    return automatic_payment.run(now=now)


def intents(server: stripe.Stripe) -> list[dict[str, Any]]:
    return [row for row in server.table("payment_intent").values() if row["setup_future_usage"] != "off_session"]


def test_what_is_left_is_known_by_its_last_digits(subscription: Subscription, server: stripe.Stripe) -> None:
    saved = SavedMethod.objects.get()
    assert (saved.organization_id, saved.gateway, saved.label) == (
        subscription.organization_id,
        "stripe",
        "Visa •••• 4242",
    )
    [method] = server.table("payment_method").values()
    assert saved.reference == {"customer": method["customer"], "payment_method": method["id"], "type": "card"}


@pytest.mark.parametrize("keep", ["", "1"])
def test_nothing_is_kept_without_consent(sold: Shop, server: stripe.Stripe, keep: str) -> None:
    subscription = subscribe(sold.bronze)
    renewal.run(now=START + 21 * DAY)
    by_card(waiting(subscription), server, now=START + 21 * DAY, keep=keep)
    assert SavedMethod.objects.count() == len(keep) == len(server.table("customer"))


def test_what_a_first_order_leaves_is_the_customer_s_it_makes(sold: Shop, server: stripe.Stripe) -> None:
    subscription = subscribe(sold.bronze)
    first = subscription.orders.get()
    Order.objects.filter(pk=first.pk).update(state="open", organization=None)
    by_card(first, server, now=START, keep="1")
    assert saved_methods.of(subscription.organization_id) is None
    Order.objects.filter(pk=first.pk).update(organization=subscription.organization)
    for _again in range(2):
        saved_methods.adopt(first.pk, now=START)
    saved = saved_methods.of(subscription.organization_id)
    assert saved is not None and saved.gateway == "stripe"


def test_it_is_taken_once_before_the_period_begins(subscription: Subscription, server: stripe.Stripe) -> None:
    before = due(subscription)
    assert charge(subscription, before - 7 * DAY) == {"done": 0, "failed": 0}
    for _again in range(3):
        charge(subscription, before)
    assert taken(subscription) == [("paid", "")]
    assert len(intents(server)) == 1
    renewals.fulfil(waiting_or_paid(subscription).pk, now=before)
    after = Subscription.objects.get(pk=subscription.pk)
    assert (after.state, after.period_start) == ("active", before)


def test_p09_an_unknown_outcome_blocks_and_is_settled_by_the_truth(
    subscription: Subscription, server: stripe.Stripe
) -> None:
    server.faults.append(Fault("POST /v1/payment_intents", after=True))
    charge(subscription, due(subscription))
    assert taken(subscription) == [("unknown", "")]
    with pytest.raises(PaymentOpen):
        payments.begin(waiting(subscription).pk, gateway="fake", details={}, now=due(subscription))
    charge(subscription, due(subscription) + 2 * DAY)
    assert len(taken(subscription)) == 1
    run(due(subscription) + 8 * DAY)
    assert Subscription.objects.get(pk=subscription.pk).state == "past_due"
    payments.look(Payment.objects.get(state="unknown").pk, now=due(subscription) + 2 * DAY)
    assert taken(subscription) == [("paid", "")]
    assert len(intents(server)) == 1


def test_p10_a_death_before_the_call_goes_on_with_the_same_key(
    subscription: Subscription, server: stripe.Stripe
) -> None:
    renewal.run(now=due(subscription))
    payment_id = automatic.begin(waiting(subscription).pk, now=due(subscription))
    assert payment_id is not None and intents(server) == []
    payments.look(payment_id, now=due(subscription) + DAY)
    payments.look(payment_id, now=due(subscription) + DAY)
    assert taken(subscription) == [("paid", "")]
    assert len(intents(server)) == 1
    key = str(Payment.objects.get(pk=payment_id).key)
    assert {seen.key for seen in server.seen if seen.line == "POST /v1/payment_intents"} == {key}


def test_p24_declined_and_tried_again_by_the_calendar(subscription: Subscription, server: stripe.Stripe) -> None:
    server.off_session = ["insufficient_funds", "authentication_required"]
    for number in range(-1, 5):
        charge(subscription, due(subscription) + number * DAY)
    assert taken(subscription) == [("declined", "not_enough_funds"), ("declined", "refused_by_payer")]
    charge(subscription, due(subscription) + 5 * DAY)
    assert taken(subscription)[-1] == ("paid", "")
    assert Fact.objects.filter(name="PaymentDeclined").count() == 2


def test_p24_who_is_declined_to_the_end_is_suspended_and_no_longer_charged(
    subscription: Subscription, server: stripe.Stripe
) -> None:
    server.off_session = ["insufficient_funds"] * 9
    for number in range(-7, 20):
        charge(subscription, due(subscription) + number * DAY)
        run(due(subscription) + number * DAY)
    assert Subscription.objects.get(pk=subscription.pk).state == "suspended"
    assert len(taken(subscription)) == 3


@pytest.mark.parametrize("declined", [False, True])
def test_p23_p24_after_a_schedule_that_stood_still_it_is_tried_before_anybody_is_suspended(
    subscription: Subscription, server: stripe.Stripe, declined: bool
) -> None:
    server.off_session = ["insufficient_funds"] if declined else []
    late = due(subscription) + 8 * DAY
    run(late)
    run(late)
    assert Subscription.objects.get(pk=subscription.pk).state == "past_due"
    charge(subscription, late)
    run(late + timedelta(minutes=10))
    assert taken(subscription) == [("declined", "not_enough_funds") if declined else ("paid", "")]
    assert (Subscription.objects.get(pk=subscription.pk).state == "suspended") is declined


def test_a_debit_that_takes_days_is_waited_for(subscription: Subscription, server: stripe.Stripe) -> None:
    server.off_session = ["processing"]
    charge(subscription, due(subscription))
    run(due(subscription) + 8 * DAY)
    assert (taken(subscription), Subscription.objects.get(pk=subscription.pk).state) == ([("pending", "")], "past_due")
    [intent] = intents(server)
    server.finish(intent)
    [message] = [one for one in server.told("payment_intent.succeeded") if intent["id"] in one.body.decode()]
    assert webhooks.receive("stripe", headers=message.headers, body=message.body, now=due(subscription) + 9 * DAY)
    event = GatewayEvent.objects.order_by("pk").last()
    assert event is not None
    webhooks.process(event.pk, now=due(subscription) + 9 * DAY)
    assert taken(subscription) == [("paid", "")]


def test_taken_back_nothing_is_taken_and_stripe_forgets(subscription: Subscription, server: stripe.Stripe) -> None:
    saved = SavedMethod.objects.get()
    assert saved_methods.remove(subscription.organization_id, actor="customer", now=START)
    assert not saved_methods.remove(subscription.organization_id, actor="customer", now=START)
    for _again in range(2):
        saved_methods.forget(saved.pk)
    assert [row["customer"] for row in server.table("payment_method").values()] == [None]
    charge(subscription, due(subscription))
    assert intents(server) == [] and taken(subscription) == []


def test_what_stripe_no_longer_has_is_declined(subscription: Subscription, server: stripe.Stripe) -> None:
    server.table("payment_method").clear()
    charge(subscription, due(subscription))
    assert taken(subscription) == [("declined", "no_account")]


def test_another_one_takes_its_place(subscription: Subscription, server: stripe.Stripe) -> None:
    renewal.run(now=due(subscription) - 3 * DAY)
    by_card(waiting(subscription), server, now=due(subscription) - 3 * DAY, keep="1")
    rows = SavedMethod.objects.order_by("agreed_at").values_list("removed_at", flat=True)
    assert [row is None for row in rows] == [False, True]


def test_who_cancelled_is_charged_no_more(subscription: Subscription, server: stripe.Stripe) -> None:
    renewal.run(now=due(subscription) - 3 * DAY)
    subscriptions.cancel(subscription.pk, at_once=False, reason="", actor="customer", now=due(subscription) - 2 * DAY)
    charge(subscription, due(subscription))
    assert intents(server) == []


def test_the_money_goes_back_the_way_it_came(subscription: Subscription, server: stripe.Stripe) -> None:
    from parcelle.domain.billing import refunds

    charge(subscription, due(subscription))
    payment = Payment.objects.latest("created_at")
    refund = refunds.request(
        payment.pk, amount=payment.amount, reason="goodwill", actor="test", now=due(subscription), by_hand=False
    )
    refunds.carry_out(refund.pk, now=due(subscription))
    payment.refresh_from_db()
    assert payment.state == "refunded"


def test_the_test_payment_can_be_left_as_well(sold: Shop) -> None:
    subscription = subscribe(sold.bronze)
    renewal.run(now=START + 21 * DAY)
    from parcelle.domain.billing.gateways import fake
    from parcelle.domain.billing.models import FakeCharge

    payment = payments.begin(waiting(subscription).pk, gateway="fake", details={"keep": "1"}, now=START + 21 * DAY)
    payments.carry_out(payment.pk, now=START + 21 * DAY)
    fake.decide(FakeCharge.objects.get(payment_id=payment.pk).pk, FakeCharge.APPROVED)
    payments.look(payment.pk, now=START + 21 * DAY)
    renewals.fulfil(payment.order_id, now=START + 21 * DAY)
    subscription.refresh_from_db()
    charge(subscription, due(subscription))
    assert taken(subscription) == [("paid", "")]
