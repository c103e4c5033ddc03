"""Renewals out of a wallet that PayPal keeps: every word of both sides is held to PayPal's documents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from parcelle.domain.billing import gateways, payments, renewals, saved_methods
from parcelle.domain.billing.models import GatewaySettings, Order, Payment, SavedMethod, Subscription
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


def test_it_is_offered_only_where_paypal_allows_it(there: paypal.PayPal) -> None:
    assert gateways.open_gateway("paypal").abilities.saves
    GatewaySettings.objects.update(values=paypal_server.settings_of(there))
    assert not gateways.open_gateway("paypal").abilities.saves
