"""Payments: whatever is repeated, reordered, late or lost, money counts once and the state only moves forward."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.core.states import IllegalTransition
from parcelle.domain.billing import gateways, orders, payment_states, payments
from parcelle.domain.billing.errors import GatewayUnusable, OrderClosed, PaymentOpen
from parcelle.domain.billing.gateways.base import Declined, Expired, GatewayError, Outcome, Paid, Pending, Redirect
from parcelle.domain.billing.gateways.fake import FakeGateway
from parcelle.domain.billing.models import FakeCharge, GatewaySettings, Order, Payment
from tests.domain.billing.selling import LATER, attempt, click, look, open_shop, order
from tests.people import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
FULL = Paid(received=Money(5880, "EUR"), fee=Money(200, "EUR"))


@pytest.fixture
def placed() -> Order:
    return order(open_shop())


def facts(name: str) -> int:
    return Fact.objects.filter(name=name).count()


def test_a_payment_goes_through(placed: Order) -> None:
    payment = attempt(placed)
    assert payment.state == "pending"
    click(payment, "approved")
    assert look(payment).state == "paid"
    placed.refresh_from_db()
    assert placed.state == "paid"
    assert (facts("PaymentReceived"), facts("OrderPaid")) == (1, 1)


def test_a_declined_payment_leaves_room_for_another(placed: Order) -> None:
    payment = attempt(placed)
    click(payment, "declined", code="not_enough_funds")
    assert (look(payment).state, payment.reason) == ("declined", "not_enough_funds")
    again = attempt(placed)
    click(again, "approved")
    assert look(again).state == "paid"


def test_a_cancelled_payment_lapses(placed: Order) -> None:
    payment = attempt(placed)
    click(payment, "cancelled")
    assert look(payment).state == "expired"


def test_p09_no_second_charge_while_the_first_may_succeed(placed: Order) -> None:
    attempt(placed)
    with pytest.raises(PaymentOpen):
        payments.begin(placed.pk, gateway="fake", details={}, now=NOW)
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("state", ["paid", "expired"])
def test_nothing_can_be_paid_on_a_closed_order(placed: Order, state: str) -> None:
    Order.objects.update(state=state)
    with pytest.raises(OrderClosed):
        payments.begin(placed.pk, gateway="fake", details={}, now=NOW)


def test_a_way_to_pay_must_be_switched_on(placed: Order) -> None:
    with pytest.raises(GatewayUnusable):
        payments.begin(placed.pk, gateway="paypal", details={}, now=NOW)
    GatewaySettings.objects.update(enabled=False)
    with pytest.raises(GatewayUnusable):
        payments.begin(placed.pk, gateway="fake", details={}, now=NOW)


class Silent:
    """A payment service that does what it is asked and whose answers get lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, unknown: bool, effect: bool) -> None:
        start = FakeGateway.start
        self.keys: list[Any] = []

        def lost(gateway: FakeGateway, charge: Any) -> Outcome:
            self.keys.append(charge.key)
            if effect:
                start(gateway, charge)
            raise GatewayError("no answer", unknown=unknown)

        monkeypatch.setattr(FakeGateway, "start", lost)
        self.start, self.monkeypatch = start, monkeypatch

    def restore(self) -> None:
        self.monkeypatch.setattr(FakeGateway, "start", self.start)


@pytest.mark.parametrize("effect", [True, False])
def test_p09_a_lost_answer_is_unknown_until_the_service_tells(
    placed: Order, monkeypatch: pytest.MonkeyPatch, effect: bool
) -> None:
    silent = Silent(monkeypatch, unknown=True, effect=effect)
    payment = attempt(placed)
    assert payment.state == "unknown"
    with pytest.raises(PaymentOpen):
        payments.begin(placed.pk, gateway="fake", details={}, now=NOW)
    silent.restore()
    assert look(payment).state == "pending"
    click(payment, "approved")
    assert look(payment).state == "paid"


def test_a_call_that_cannot_have_had_an_effect_was_declined(placed: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    Silent(monkeypatch, unknown=False, effect=False)
    payment = attempt(placed)
    assert (payment.state, payment.reason) == ("declined", "service_down")


@pytest.mark.parametrize("effect", [True, False])
def test_p09_a_question_that_does_not_arrive_declines_nothing(
    placed: Order, monkeypatch: pytest.MonkeyPatch, effect: bool
) -> None:
    """The worker died before it could write down what the service said, and now the service is away."""
    payment = payments.begin(placed.pk, gateway="fake", details={}, now=NOW)
    if effect:
        gateways.open_gateway("fake").start(payments.charge_of(payment))

    def away(*_arguments: object) -> Outcome:
        raise GatewayError("cannot be reached", unknown=False)

    with monkeypatch.context() as outage:
        outage.setattr(FakeGateway, "fetch", away)
        assert look(payment).state == "unknown"
    with pytest.raises(PaymentOpen):
        payments.begin(placed.pk, gateway="fake", details={}, now=NOW)
    assert look(payment).state == "pending"
    assert FakeCharge.objects.count() == 1


def test_p10_a_repetition_sends_the_same_key_and_body(placed: Order) -> None:
    payment = attempt(placed)
    charges = [
        payments.charge_of(Payment.objects.select_related("order__plan__product").get(pk=payment.pk)) for _ in "12"
    ]
    assert charges[0] == charges[1]
    payments.carry_out(payment.pk, now=LATER)
    assert Payment.objects.get().provider_id == payment.provider_id


@pytest.mark.parametrize("received", [Money(5879, "EUR"), Money(5881, "EUR"), Money(5880, "USD")])
def test_p14_another_amount_or_currency_is_parked(placed: Order, received: Money) -> None:
    payment = attempt(placed)
    payments.record(payment.pk, Paid(received=received), now=LATER)
    payment.refresh_from_db()
    placed.refresh_from_db()
    assert (payment.state, payment.reason, payment.received_minor) == ("parked", "amount_differs", received.minor)
    assert placed.state == "open"
    assert (facts("PaymentParked"), facts("PaymentReceived"), facts("OrderPaid")) == (1, 0, 0)


@pytest.mark.parametrize("late", [Declined(code="declined"), Expired(), Pending(), Redirect(url="x")])
def test_p13_paid_never_goes_back(placed: Order, late: Outcome) -> None:
    payment = attempt(placed)
    payments.record(payment.pk, FULL, now=LATER)
    payments.record(payment.pk, late, now=LATER)
    payment.refresh_from_db()
    assert payment.state == "paid"


@pytest.mark.parametrize("first", [Declined(code="declined"), Expired()])
def test_p09_money_that_comes_after_all_still_counts(placed: Order, first: Outcome) -> None:
    payment = attempt(placed)
    payments.record(payment.pk, first, now=LATER)
    payments.record(payment.pk, FULL, now=LATER)
    payment.refresh_from_db()
    placed.refresh_from_db()
    assert (payment.state, placed.state) == ("paid_late", "paid")


def test_p09_if_both_succeed_the_second_is_credit(placed: Order) -> None:
    first = attempt(placed)
    payments.record(first.pk, Expired(), now=LATER)
    second = attempt(placed)
    payments.record(second.pk, FULL, now=LATER)
    payments.record(first.pk, FULL, now=LATER)
    assert (facts("PaymentReceived"), facts("OrderPaid")) == (2, 1)
    assert [fact.data["surplus"] for fact in Fact.objects.filter(name="PaymentReceived").order_by("id")] == [
        False,
        True,
    ]


def test_money_for_a_lapsed_order_does_not_revive_it(placed: Order) -> None:
    payment = attempt(placed)
    payments.record(payment.pk, Expired(), now=LATER)
    orders.lapse(placed.pk, now=placed.expires_at)
    payments.record(payment.pk, FULL, now=placed.expires_at)
    placed.refresh_from_db()
    assert placed.state == "expired"
    assert Fact.objects.get(name="PaymentReceived").data["surplus"] is True


def test_only_a_human_gives_up_an_unknown_payment(placed: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Silent(monkeypatch, unknown=True, effect=False)
    payment = attempt(placed)
    payments.abandon(payment.pk, reason="bank says no", actor="operator", now=LATER)
    payment.refresh_from_db()
    assert payment.state == "abandoned"
    silent.restore()
    again = attempt(placed)
    with pytest.raises(IllegalTransition):
        payments.abandon(again.pk, reason="impatient", actor="operator", now=LATER)


def test_the_service_is_asked_less_and_less_and_then_a_human_must_look(placed: Order) -> None:
    payment = attempt(placed)
    now, asked = NOW, []
    while payment.look_at is not None:
        now = max(now, payment.look_at)
        assert list(payments.to_look_at(now)) == [payment.pk]
        assert not list(payments.to_look_at(payment.look_at - timedelta(seconds=1)))
        payments.look(payment.pk, now=now)
        payment.refresh_from_db()
        asked.append((now - NOW).total_seconds())
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert gaps == sorted(gaps)
    assert asked[-1] > 6 * 3600
    assert payment.state == "unknown"


OUTCOMES = [FULL, Declined(code="declined"), Expired(), Pending(), Redirect(url="https://example.com")]


@given(said=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_p07_any_order_of_any_news_counts_money_once(said: list[Outcome], test_blueprints: Any) -> None:
    from django.db import transaction

    with transaction.atomic():
        placed = order(open_shop())
        payment = attempt(placed)
        seen = [payment.state]
        for outcome in said:
            payments.record(payment.pk, outcome, now=LATER)
            seen.append(Payment.objects.get(pk=payment.pk).state)
        placed.refresh_from_db()
        money = FULL in said
        assert (seen[-1] in {"paid", "paid_late"}) == money
        assert (placed.state == "paid") == money
        assert facts("OrderPaid") == facts("PaymentReceived") == money
        for before, after in itertools.pairwise(seen):
            assert before == after or after in payment_states.TRANSITIONS[before]
        transaction.set_rollback(True)
