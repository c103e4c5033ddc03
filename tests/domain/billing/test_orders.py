"""Orders: what was agreed stays agreed, coupons are not used too often, nothing is sold that is not on sale."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from parcelle.core.models import Fact
from parcelle.domain.billing import orders, payments
from parcelle.domain.billing.errors import CouponRefused, NotOnSale
from parcelle.domain.billing.gateways.base import Expired
from parcelle.domain.billing.models import CouponUse, Order
from parcelle.domain.catalog.models import Coupon, Price
from tests import people
from tests.domain.billing.selling import AWA, attempt, open_shop, order
from tests.people import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def price() -> Price:
    return open_shop()


def coupon(**values: object) -> Coupon:
    return Coupon.objects.create(**{"code": "RENTREE", "percent": 10, **values})


def test_an_order_is_what_the_customer_saw(price: Price) -> None:
    placed = order(price, coupon=coupon())
    assert (placed.subtotal_minor, placed.discount_minor, placed.tax_minor, placed.total_minor) == (
        4900,
        490,
        882,
        5292,
    )
    assert placed.tax["category"] == "S"
    assert placed.buyer["company"] == "Diop SARL"
    assert placed.number.startswith("CMD-2026-")
    assert Fact.objects.get(name="OrderPlaced").data["number"] == placed.number


def test_sending_the_form_twice_is_ordering_once(price: Price) -> None:
    request = uuid.uuid4()
    assert order(price, request_id=request) == order(price, request_id=request)
    assert Order.objects.count() == 1


def test_numbers_are_all_different(price: Price) -> None:
    numbers = [order(price).number for _time in range(5)]
    assert sorted(set(numbers)) == numbers


def test_what_was_taken_off_sale_cannot_be_ordered(price: Price) -> None:
    Price.objects.update(retired_at=NOW)
    with pytest.raises(NotOnSale):
        order(price)


def test_a_price_is_never_changed(price: Price) -> None:
    for change in ({"amount_minor": 1}, {"currency": "USD"}, {"plan": people.offer("other")}):
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            Price.objects.filter(pk=price.pk).update(**change)
    Price.objects.filter(pk=price.pk).update(retired_at=NOW)
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        Price.objects.filter(pk=price.pk).update(retired_at=None)


def test_there_is_one_current_price_per_currency_and_interval(price: Price) -> None:
    same = {"plan": price.plan, "interval": "month", "currency": "EUR", "created_at": NOW}
    with pytest.raises(IntegrityError), transaction.atomic():
        Price.objects.create(amount_minor=1, **same)
    Price.objects.filter(pk=price.pk).update(retired_at=NOW)
    Price.objects.create(amount_minor=1, **same)


def test_the_database_refuses_an_order_that_does_not_add_up(price: Price) -> None:
    placed = order(price)
    with pytest.raises(IntegrityError), transaction.atomic():
        Order.objects.filter(pk=placed.pk).update(total_minor=placed.total_minor - 1)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"enabled": False}, "unknown"),
        ({"valid_from": NOW + timedelta(seconds=1)}, "not_yet"),
        ({"valid_until": NOW}, "over"),
        ({"minimum_minor": 4901, "currency": "EUR"}, "too_small"),
        ({"currency": "XAF"}, "other_currency"),
        ({"kind": "fixed", "percent": None, "amount_minor": 500, "currency": "USD"}, "other_currency"),
        ({"most_uses": 0}, "used_up"),
        ({"most_uses_each": 0}, "used_by_you"),
    ],
)
def test_a_coupon_that_does_not_fit_says_why(price: Price, values: dict[str, object], code: str) -> None:
    with pytest.raises(CouponRefused) as refused:
        order(price, coupon=coupon(**values))
    assert refused.value.code == code
    assert not Order.objects.exists()


def test_a_coupon_for_another_plan(price: Price) -> None:
    made = coupon()
    made.plans.add(people.offer("other"))
    with pytest.raises(CouponRefused, match="other_plan"):
        order(price, coupon=made)


def test_a_coupon_is_found_in_any_case(price: Price) -> None:
    coupon()
    sum_ = orders.preview(price, coupon_code=" rentree ", buyer=AWA, now=NOW)
    assert sum_.discount.minor == 490


def test_once_each_is_once_each(price: Price) -> None:
    made = coupon()
    order(price, coupon=made)
    with pytest.raises(CouponRefused, match="used_by_you"):
        order(price, coupon=made)
    order(price, coupon=made, buyer=replace(AWA, email="other@example.com"))


def test_a_lapsed_order_gives_its_coupon_back(price: Price) -> None:
    made = coupon(most_uses=1)
    placed = order(price, coupon=made)
    over = placed.expires_at
    assert not orders.lapse(placed.pk, now=over - timedelta(seconds=1))
    assert list(orders.to_lapse(over)) == [placed.pk]
    assert orders.lapse(placed.pk, now=over)
    assert not orders.lapse(placed.pk, now=over)
    assert not CouponUse.objects.exists()
    order(price, coupon=made)


def test_an_order_does_not_lapse_while_money_may_be_on_its_way(price: Price) -> None:
    placed = order(price)
    payment = attempt(placed)
    assert not orders.lapse(placed.pk, now=placed.expires_at)
    payments.record(payment.pk, Expired(), now=placed.expires_at)
    assert orders.lapse(placed.pk, now=placed.expires_at)


def test_what_costs_nothing_is_paid_at_once(price: Price) -> None:
    placed = order(price, coupon=coupon(percent=100))
    assert (placed.total_minor, placed.state) == (0, "paid")
    assert Fact.objects.filter(name="OrderPaid").count() == 1


def test_a_coupon_must_take_something_off() -> None:
    nothing: dict[str, object] = {"percent": None}
    fixed = nothing | {"kind": "fixed"}
    for values in ({"percent": 0}, {"percent": 101}, nothing, fixed, fixed | {"currency": "EUR"}, {"kind": "gift"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            coupon(**values)
