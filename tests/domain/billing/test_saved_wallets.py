"""Renewals out of a wallet that PayPal keeps: every word of both sides is held to PayPal's documents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from parcelle.domain.billing import gateways, payments, renewals, saved_methods, webhooks
from parcelle.domain.billing.gateways import paypal_issues
from parcelle.domain.billing.models import GatewayEvent, GatewaySettings, Order, Payment, SavedMethod, Subscription
from parcelle.journeys import automatic_payment, renewal
from tests import needs
from tests.domain.billing.subscribing import DAY, START, asked, shop, subscribe

needs.require("specs")

from tests.simulators import paypal, paypal_server

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
DUE = START + 59 * DAY


@pytest.fixture
def there() -> Iterator[paypal.PayPal]:
    with paypal_server.serving(paypal.PayPal()) as running:
        values = paypal_server.settings_of(running, vault="on")
        GatewaySettings.objects.create(name="paypal", enabled=True, values=values)
        yield running
    assert running.violations == []


@pytest.fixture
def subscription(there: paypal.PayPal) -> Subscription:
    """Renewed once by a customer who left their wallet for the periods after."""
    return renewed(there)


def renewed(there: paypal.PayPal) -> Subscription:
    made = subscribe(shop().bronze)
    now = START + 21 * DAY
    renewal.run(now=now)
    order = asked(made)
    assert order is not None
    payment = payments.begin(order.pk, gateway="paypal", details={"keep": "1"}, now=now)
    payments.carry_out(payment.pk, now=now)
    there.approve(there.order_of(payment.pk))
    payments.look(payment.pk, now=now)
    renewals.fulfil(order.pk, now=now)
    return Subscription.objects.get(pk=made.pk)


def charge(now: datetime) -> list[tuple[str, str]]:
    """Takes what is due; state and reason of every attempt on the newest renewal."""
    renewal.run(now=now)
    assert automatic_payment.run(now=now)["failed"] == 0
    rows = Order.objects.filter(kind=Order.RENEWAL).latest("created_at").payments.order_by("created_at")
    return list(rows.values_list("state", "reason"))


def test_it_is_taken_once(subscription: Subscription, there: paypal.PayPal) -> None:
    saved = SavedMethod.objects.get()
    assert (saved.label, saved.reference) == ("PayPal buyer@example.com", {"vault_id": next(iter(there.vault))})
    for _again in range(2):
        assert charge(DUE) == [("paid", "")]
    assert len(there.orders) == 2


def test_a_wallet_that_is_kept_only_later_is_told_by_a_message(there: paypal.PayPal) -> None:
    there.vaults_later = True
    renewed(there)
    payment = Payment.objects.get(gateway="paypal")
    payments.look(payment.pk, now=START + 22 * DAY)
    assert payment.state == "paid" and not SavedMethod.objects.exists()
    told = there.keep_wallet(there.order_of(payment.pk).id)
    for _again in range(2):
        webhooks.receive("paypal", headers=there.headers(told.body), body=told.body, now=START + 22 * DAY)
    event = GatewayEvent.objects.get()
    webhooks.process(event.pk, now=START + 22 * DAY)
    assert GatewayEvent.objects.get().state == "done"
    saved = SavedMethod.objects.get()
    assert (saved.payment, saved.label) == (payment, "PayPal buyer@example.com")
    assert saved.reference == {"vault_id": next(iter(there.vault))}
    assert charge(DUE) == [("paid", "")]


def test_a_wallet_of_an_order_that_is_none_of_ours_keeps_nothing(
    subscription: Subscription, there: paypal.PayPal
) -> None:
    order = there.order_of(Payment.objects.get(gateway="paypal").pk)
    order.unit = {**order.unit, "custom_id": "0b4c5a52-3f6f-4f0e-9f0e-3d0c8a0f1c11"}
    told = there.keep_wallet(order.id)
    webhooks.receive("paypal", headers=there.headers(told.body), body=told.body, now=START + 22 * DAY)
    webhooks.process(GatewayEvent.objects.get().pk, now=START + 22 * DAY)
    assert GatewayEvent.objects.get().state == "ignored"
    assert SavedMethod.objects.count() == 1


@pytest.mark.parametrize(
    ("issue", "reason"),
    [("INSTRUMENT_DECLINED", "declined"), ("PAYER_CANNOT_PAY", "no_account"), ("TRANSACTION_REFUSED", "declined")],
)
def test_declined_and_tried_again_by_the_calendar(
    subscription: Subscription, there: paypal.PayPal, issue: str, reason: str
) -> None:
    there.script = [issue]
    assert charge(DUE) == [("declined", reason)]
    assert charge(DUE + DAY) == [("declined", reason)]
    assert charge(DUE + 2 * DAY)[-1] == ("paid", "")


def test_p09_an_answer_that_was_lost_is_asked_for_again(subscription: Subscription, there: paypal.PayPal) -> None:
    there.faults = [paypal.Fault("POST /v2/checkout/orders", "lost")]
    assert charge(DUE) == [("unknown", "")]
    payments.look(Payment.objects.get(state="unknown").pk, now=DUE)
    assert charge(DUE + DAY) == [("paid", "")]
    assert len(there.orders) == 2


def test_taken_back_paypal_forgets(subscription: Subscription, there: paypal.PayPal) -> None:
    saved = SavedMethod.objects.get()
    saved_methods.remove(subscription.organization_id, actor="customer", now=START)
    for _again in range(2):
        saved_methods.forget(saved.pk)
    assert there.vault == {}
    assert charge(DUE) == []


def test_a_wallet_that_paypal_lost_is_declined(subscription: Subscription, there: paypal.PayPal) -> None:
    there.vault.clear()
    assert charge(DUE) == [("declined", "declined")]


def test_the_message_must_be_subscribed_to_where_wallets_are_kept(there: paypal.PayPal) -> None:
    there.events = paypal_issues.EVENTS
    assert "VAULT.PAYMENT-TOKEN.CREATED" in gateways.open_gateway("paypal").problems()[0]
    there.events = (*paypal_issues.EVENTS, *paypal_issues.VAULT_EVENTS)
    assert gateways.open_gateway("paypal").problems() == []


def test_it_is_offered_only_where_paypal_allows_it(there: paypal.PayPal) -> None:
    assert gateways.open_gateway("paypal").abilities.saves
    GatewaySettings.objects.update(values=paypal_server.settings_of(there))
    assert not gateways.open_gateway("paypal").abilities.saves
