"""Renewals asked for together are the ones asked for alone: the same orders, whoever the customer is."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from parcelle.core.money import Money
from parcelle.domain.billing import ledger, price_changes, renewal_batches, renewals
from parcelle.domain.billing.models import Order, Payment, SavedMethod, Subscription
from parcelle.domain.catalog import actions as catalog
from parcelle.domain.catalog.models import Coupon
from parcelle.journeys import renewal
from tests.domain.billing.subscribing import DAY, START, Shop, asked, shop, subscribe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
LATE = START + 22 * DAY
# What no two orders have in common, and what is encrypted anew each time.
_OWN = {"id", "number", "request_id", "buyer"}


def everybody(sold: Shop) -> list[Subscription]:
    """One customer of each kind there is."""
    twice = Coupon.objects.create(code="TWICE", percent="25", payments=2)
    once = Coupon.objects.create(code="ONCE", percent="25", payments=1)
    free = Coupon.objects.create(code="FREE", percent="100", payments=None)
    elsewhere = Coupon.objects.create(code="ELSEWHERE", percent="10", payments=None)
    made = [subscribe(sold.bronze, coupon=coupon) for coupon in (None, twice, once, free, elsewhere)]
    elsewhere.plans.add(sold.silver.plan)
    made += [subscribe(sold.bronze, now=START + timedelta(hours=number)) for number in range(6)]
    rich, stepping_down, by_hand, saved, nobody_paid, changed = made[5:]
    ledger.keep_as_credit(
        organization_id=rich.organization_id, amount=Money(100, "EUR"), key="gift", reference="g", now=START
    )
    Subscription.objects.filter(pk=stepping_down.pk).update(next_price=sold.silver, anchor_day=None)
    Payment.objects.filter(order__subscription__in=[by_hand.pk, saved.pk]).update(gateway="bank_transfer")
    SavedMethod.objects.create(
        organization=saved.organization,
        payment=Payment.objects.get(order__subscription=saved),
        gateway="fake",
        label="4242",
        agreed_at=START,
    )
    Payment.objects.filter(order__subscription=nobody_paid.pk).update(state="declined")
    Order.objects.filter(subscription=changed).update(kind=Order.CHANGE)
    new = catalog.set_price(sold.bronze.plan_id, interval="month", amount=Money(3500, "EUR"), now=START)
    price_changes.announce(old_id=sold.bronze.pk, new_id=new.pk, actor="o", now=START, notice=28 * DAY + DAY / 48)
    return made


def columns(made: Sequence[Subscription]) -> list[dict[str, Any]]:
    found = Order.objects.filter(kind=Order.RENEWAL, subscription__in=[one.pk for one in made]).order_by("subscription")
    rows = zip(found, found.values(), strict=True)
    return [{"who": order.buyer, **{n: v for n, v in row.items() if n not in _OWN}} for order, row in rows]


def after(made: Sequence[Subscription]) -> list[dict[str, Any]]:
    rows = Subscription.objects.filter(pk__in=[one.pk for one in made]).order_by("pk").values()
    return [dict(row) for row in rows]


def test_p26_together_makes_what_each_alone_would() -> None:
    made = everybody(shop())
    with transaction.atomic():
        for one in made:
            assert renewals.renew(one.pk, now=LATE)
        alone, then = columns(made), after(made)
        transaction.set_rollback(True)
    assert renewal.ask([one.pk for one in made], now=LATE) == {"done": len(made), "failed": 0}
    assert columns(made) == alone
    assert after(made) == then
    # The world of this test is one in which the kinds differ.
    assert len({(row["total_minor"], row["grace_until"] - row["due_at"]) for row in alone}) >= 5


def test_only_who_is_not_plain_is_taken_alone() -> None:
    """Nothing to pay, credit, another plan since the last renewal, add-ons."""
    made = everybody(shop())
    Subscription.objects.filter(pk=made[0].pk).update(next_extras=[{"price": str(uuid.uuid4()), "quantity": 1}])
    done = renewal_batches.renew([one.pk for one in made], now=LATE)
    assert set(done.apart) == {made[number].pk for number in (0, 3, 5, 10)}
    assert done.asked == len(made) - 4


def test_as_many_statements_for_seven_as_for_two() -> None:
    sold = shop()
    made = [subscribe(sold.bronze).pk for _ in range(9)]
    counts = []
    for some in (made[:2], made[2:]):
        with CaptureQueriesContext(connection) as captured:
            assert renewal_batches.renew(some, now=LATE).asked == len(some)
        counts.append(len(captured))
    assert counts[0] == counts[1] < 20


def test_p26_what_the_database_refuses_parks_one_and_renews_the_others() -> None:
    made = [subscribe(shop().bronze) for _ in range(3)]
    bad = made[1]
    renewal.ask([bad.pk], now=LATE)
    # Its period is asked for, and yet it says that it should be.
    Subscription.objects.filter(pk=bad.pk).update(renews_at=LATE)
    assert renewal.ask([one.pk for one in made], now=LATE) == {"done": 2, "failed": 1}
    assert all(asked(one) is not None for one in made)
    assert "each_period_once" in Subscription.objects.get(pk=bad.pk).problem


def test_p07_asking_twice_is_asking_once() -> None:
    made = [subscribe(shop().bronze).pk for _ in range(2)]
    assert renewal.ask(made, now=LATE) == {"done": 2, "failed": 0}
    assert renewal.ask(made, now=LATE) == {"done": 0, "failed": 0}
    assert Order.objects.filter(kind=Order.RENEWAL).count() == 2
