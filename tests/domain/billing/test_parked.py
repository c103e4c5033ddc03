"""P14: what came in otherwise than asked waits for a human, and the books stay right whatever they decide."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.core.states import IllegalTransition
from parcelle.domain.billing import orders, parked, payments, refunds
from parcelle.domain.billing.errors import ParkedRefused, RefundRefused
from parcelle.domain.billing.gateways.base import Declined, Paid
from parcelle.domain.billing.ledger import accounts, audit
from parcelle.domain.billing.models import FakeCharge, LedgerEntry, Order, Payment, Refund
from tests import jobs
from tests.domain.billing.selling import LATER, attempt, click, open_shop, order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
WHY: Any = {"reason": "their bank kept a cent", "actor": "user:1", "now": LATER}


@pytest.fixture
def placed() -> Order:
    return order(open_shop())


def park(placed: Order, received: Money) -> Payment:
    payment = attempt(placed)
    payments.record(payment.pk, Paid(received=received), now=LATER)
    payment.refresh_from_db()
    assert payment.state == "parked"
    return payment


def fresh(payment: Payment) -> Payment:
    return Payment.objects.select_related("order").get(pk=payment.pk)


def held(account: str, currency: str = "EUR") -> int:
    found = LedgerEntry.objects.filter(account=account, currency=currency)
    return -sum(found.values_list("amount_minor", flat=True))


def facts(name: str) -> int:
    return Fact.objects.filter(name=name).count()


@pytest.mark.parametrize("minor", [5879, 6000])
def test_it_counts_for_its_order(placed: Order, minor: int) -> None:
    payment = park(placed, Money(minor, "EUR"))
    parked.accept(payment.pk, for_order=True, **WHY)
    payment = fresh(payment)
    assert (payment.state, payment.order.state, payment.remark) == ("paid", "paid", "user:1: their bank kept a cent")
    assert (facts("OrderPaid"), facts("PaymentReceived"), facts("ParkedPaymentAccepted")) == (1, 1, 1)
    assert (held(accounts.SUSPENSE), held(accounts.CUSTOMERS)) == (0, minor)
    assert audit.differences() == []


def test_it_is_the_customers_credit(placed: Order) -> None:
    payment = park(placed, Money(5000, "EUR"))
    parked.accept(payment.pk, for_order=False, **WHY)
    assert (fresh(payment).state, fresh(payment).order.state) == ("paid", "open")
    assert (held(accounts.CREDIT), held(accounts.SUSPENSE)) == (5000, 0)
    # The order can be paid once more.
    again = attempt(placed)
    click(again, "approved")
    payments.look(again.pk, now=LATER)
    assert fresh(again).order.state == "paid"
    assert audit.differences() == []


def test_for_an_order_that_lapsed_it_is_credit_all_the_same(placed: Order) -> None:
    payment = park(placed, Money(5879, "EUR"))
    Order.objects.update(state="expired")
    parked.accept(payment.pk, for_order=True, **WHY)
    assert (fresh(payment).order.state, held(accounts.CREDIT)) == ("expired", 5879)
    assert facts("OrderPaid") == 0


def test_another_currency_is_credit_or_goes_back_by_hand(placed: Order) -> None:
    payment = park(placed, Money(38000, "XAF"))
    refusals: list[Any] = [
        partial(parked.accept, payment.pk, for_order=True, **WHY),
        partial(parked.give_back, payment.pk, by_hand=False, **WHY),
    ]
    for refused in refusals:
        with pytest.raises(ParkedRefused, match="other_currency"):
            refused()
    parked.give_back(payment.pk, by_hand=True, **WHY)
    assert fresh(payment).state == "refunded"
    assert held(accounts.SUSPENSE, "XAF") == held(accounts.CREDIT, "XAF") == 0
    assert held(accounts.BANK, "XAF") == 38000
    assert audit.differences() == []


def test_credit_in_another_currency_is_not_given_back_as_the_payments_own(placed: Order) -> None:
    payment = park(placed, Money(38000, "XAF"))
    parked.accept(payment.pk, for_order=False, **WHY)
    with pytest.raises(RefundRefused, match="too_much"):
        refunds.request(payment.pk, amount=Money(1, "EUR"), **WHY)


@pytest.mark.parametrize("minor", [5879, 6000])
def test_it_goes_back_by_hand(placed: Order, minor: int) -> None:
    payment = park(placed, Money(minor, "EUR"))
    parked.give_back(payment.pk, by_hand=True, **WHY)
    assert (fresh(payment).state, Refund.objects.get().amount_minor) == ("refunded", minor)
    assert held(accounts.SUSPENSE) == held(accounts.CREDIT) == 0
    assert (facts("ParkedPaymentReturned"), facts("PaymentReceived")) == (1, 0)
    assert audit.differences() == []


def test_it_goes_back_the_way_it_came(placed: Order) -> None:
    payment = park(placed, Money(5879, "EUR"))
    parked.give_back(payment.pk, by_hand=False, **WHY)
    # Until it has gone it is the customer's.
    assert held(accounts.CREDIT) == 5879
    FakeCharge.objects.update(state=FakeCharge.APPROVED)
    jobs.work_off(LATER)
    assert (fresh(payment).state, Refund.objects.get().state) == ("refunded", "done")
    assert held(accounts.CREDIT) == held(accounts.SUSPENSE) == 0
    assert audit.differences() == []


def test_it_is_decided_once(placed: Order) -> None:
    payment = park(placed, Money(5879, "EUR"))
    parked.accept(payment.pk, for_order=True, **WHY)
    verbs: list[Any] = [
        partial(parked.accept, payment.pk, for_order=True, **WHY),
        partial(parked.give_back, payment.pk, by_hand=True, **WHY),
    ]
    for again in verbs:
        with pytest.raises(IllegalTransition):
            again()
    assert facts("OrderPaid") == 1


def test_only_what_is_parked_can_be_decided(placed: Order) -> None:
    payment = attempt(placed)
    with pytest.raises(ParkedRefused, match="nothing_held"):
        parked.accept(payment.pk, for_order=True, **WHY)
    payments.record(payment.pk, Declined(code="declined"), now=LATER)
    with pytest.raises(IllegalTransition):
        parked.give_back(payment.pk, by_hand=True, **WHY)
    assert orders.lapse(placed.pk, now=placed.expires_at)
