"""Many customers want the last coupon, and one order is paid from several sides at once; with controls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial

import psycopg
import pytest
from django.db import IntegrityError

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import coupons, payments
from parcelle.domain.billing.errors import CouponRefused, PaymentOpen
from parcelle.domain.billing.gateways.base import Charge, Outcome, Paid, Redirect
from parcelle.domain.billing.gateways.fake import FakeGateway
from parcelle.domain.billing.models import CouponUse, Order, Payment
from parcelle.domain.catalog.models import Coupon
from tests.domain.billing.selling import AWA, LATER, attempt, open_shop, order
from tests.people import NOW
from tests.together import Outcome as Came
from tests.together import at_once, meeting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_blueprints")]
FULL = Paid(received=Money(5880, "EUR"))


def fifty_want_it(uses: int) -> Came[Order]:
    price = open_shop()
    coupon = Coupon.objects.create(code="LAST", percent=10, most_uses=uses)
    buyers = [replace(AWA, email=f"awa{number}@example.com") for number in range(50)]
    return at_once([partial(order, price, buyer=buyer, coupon=coupon) for buyer in buyers])


def test_the_last_use_of_a_coupon_by_fifty_customers() -> None:
    outcome = fifty_want_it(1)
    assert len(outcome.results) == CouponUse.objects.count() == Order.objects.count() == 1
    assert {type(error) for error in outcome.errors} == {CouponRefused}


def test_control_without_the_lock_on_the_coupon_it_is_used_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coupons, "lock", lambda pk: Coupon.objects.get(pk=pk))
    is_left, asked_before = coupons._is_left, threading.local()
    last_look = meeting(is_left)

    def look(coupon: Coupon, *, email: str) -> None:
        """Everybody asks twice: when the form is checked, and where the lock would have been."""
        again = hasattr(asked_before, "once")
        asked_before.once = True
        (last_look if again else is_left)(coupon, email=email)

    monkeypatch.setattr(coupons, "_is_left", look)
    fifty_want_it(1)
    assert CouponUse.objects.count() > 1


@pytest.fixture
def without() -> Callable[[str], AbstractContextManager[None]]:
    """The same without an index of payments, which comes back afterwards."""

    @contextmanager
    def gone(index: str) -> Iterator[None]:
        with psycopg.connect(os.environ["PARCELLE_OWNER_DATABASE_URL"], autocommit=True) as owner:
            found = owner.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [index]).fetchone()
            assert found is not None
            owner.execute(f"DROP INDEX {index}")
            try:
                yield
            finally:
                owner.execute("TRUNCATE billing_payment CASCADE")
                owner.execute(found[0])

    return gone


def twenty_clicks() -> Came[Payment]:
    placed = order(open_shop())
    return at_once([partial(payments.begin, placed.pk, gateway="fake", details={}, now=NOW)] * 20)


def test_p09_twenty_clicks_on_pay_make_one_attempt() -> None:
    outcome = twenty_clicks()
    assert len(outcome.results) == Payment.objects.count() == 1
    assert {type(error) for error in outcome.errors} == {PaymentOpen}


def test_p09_control_without_the_index_every_click_is_an_attempt(
    without: Callable[[str], AbstractContextManager[None]],
) -> None:
    with without("one_open_payment_per_order"):
        assert len(twenty_clicks().all()) == 20


def one_id_for_ten() -> Came[None]:
    """A service that gives ten attempts, each of another order, the same number."""
    price = open_shop()
    attempts = [attempt(order(price)) for _number in range(10)]
    said = Redirect(url="https://example.com", provider_id="TXN-1")
    return at_once([partial(payments.record, payment.pk, said, now=LATER) for payment in attempts])


def test_p08_one_provider_id_one_payment() -> None:
    outcome = one_id_for_ten()
    assert len(outcome.results) == Payment.objects.filter(provider_id="TXN-1").count() == 1
    assert {type(error) for error in outcome.errors} == {IntegrityError}


def test_p08_control_without_the_index_ten_payments_are_one_transaction(
    without: Callable[[str], AbstractContextManager[None]],
) -> None:
    with without("provider_payment_once"):
        one_id_for_ten().all()
        assert Payment.objects.filter(provider_id="TXN-1").count() == 10


def test_p10_the_key_is_stored_before_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the service is called, everybody else can see the attempt, its key and its amount."""
    start, seen = FakeGateway.start, []

    def look_from_elsewhere(charge: Charge) -> list[tuple[object, ...]]:
        stored = Payment.objects.filter(key=charge.key)
        return list(stored.values_list("pk", "state", "amount_minor", "currency"))

    def spy(gateway: FakeGateway, charge: Charge) -> Outcome:
        seen.extend(at_once([partial(look_from_elsewhere, charge)]).all())
        return start(gateway, charge)

    monkeypatch.setattr(FakeGateway, "start", spy)
    payment = attempt(order(open_shop()))
    assert seen == [[(payment.pk, "submitted", payment.amount_minor, payment.currency)]]


def test_p07_the_same_news_from_twenty_sides_at_once_counts_once() -> None:
    payment = attempt(order(open_shop()))
    at_once([partial(payments.record, payment.pk, FULL, now=LATER)] * 20).all()
    assert Fact.objects.filter(name="OrderPaid").count() == 1
    assert Fact.objects.filter(name="PaymentReceived").count() == 1


def test_two_attempts_that_succeed_at_once_pay_one_order() -> None:
    placed = order(open_shop())
    first = attempt(placed)
    Payment.objects.filter(pk=first.pk).update(state="expired")
    second = attempt(placed)
    at_once([partial(payments.record, pk, FULL, now=LATER) for pk in (first.pk, second.pk)] * 5).all()
    assert Fact.objects.filter(name="OrderPaid").count() == 1
    assert sorted(fact.data["surplus"] for fact in Fact.objects.filter(name="PaymentReceived")) == [False, True]
