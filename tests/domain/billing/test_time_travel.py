"""P23: whether the clock ticks every day or jumps, the same documents are made, with the same dates and sums."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

import pytest

from parcelle.core.money import Money
from parcelle.domain.billing import invoicing, ledger, plan_changes, price_changes, renewals, subscriptions
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import Invoice, Order, Subscription
from parcelle.domain.catalog import actions as catalog
from parcelle.domain.catalog.models import Coupon, Price
from parcelle.journeys import renewal
from tests.domain.billing.subscribing import DAY, START, Shop, shop, subscribe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
EUR = partial(Money, currency="EUR")
Deed = Callable[[Subscription, Shop, datetime], object]


def change(subscription: Subscription, sold: Shop, now: datetime, *, to: str, at_once: bool = False) -> None:
    wanted = getattr(sold, to)
    current = Price.objects.get(plan=wanted.plan, interval=wanted.interval, retired_at=None)
    plan_changes.change(
        subscription.pk,
        price_id=current.pk,
        request_id=uuid.uuid4(),
        actor="customer",
        now=now,
        at_once=at_once,
    )


def dearer(_subscription: Subscription, sold: Shop, now: datetime) -> None:
    new = catalog.set_price(sold.bronze.plan_id, interval="month", amount=EUR(3500), now=now)
    price_changes.announce(old_id=sold.bronze.pk, new_id=new.pk, actor="operator", now=now)


def pause(subscription: Subscription, _sold: Shop, now: datetime) -> None:
    subscriptions.pause(subscription.pk, actor="customer", now=now)


def go_on(subscription: Subscription, _sold: Shop, now: datetime) -> None:
    subscriptions.go_on(subscription.pk, actor="customer", now=now)


def leave(subscription: Subscription, _sold: Shop, now: datetime) -> None:
    subscriptions.cancel(subscription.pk, at_once=False, reason="moved", actor="customer", now=now)


def stay(subscription: Subscription, _sold: Shop, now: datetime) -> None:
    subscriptions.take_back(subscription.pk, actor="customer", now=now)


# Three years of a company, by the day on which it decides something.
LIFE: dict[int, Deed] = {
    70: partial(change, to="silver"),
    150: partial(change, to="bronze", at_once=True),
    200: dearer,
    290: pause,
    320: go_on,
    400: leave,
    401: stay,
    430: partial(change, to="silver"),
    520: partial(change, to="bronze"),
    700: partial(change, to="bronze_year"),
    1080: partial(change, to="silver_year"),
}


def lived(moments: Iterable[int]) -> list[tuple[object, ...]]:
    """Lives those three years, with the schedule running on the given days; every document it leaves."""
    sold = shop()
    coupon, _new = Coupon.objects.get_or_create(code="SIX", defaults={"percent": "25", "payments": 6})
    subscription = subscribe(sold.bronze, coupon=coupon)
    give(subscription, 10**7)
    for day in sorted({*moments, *LIFE}):
        now = START + day * DAY
        renewal.run(now=now)
        if day in LIFE:
            LIFE[day](subscription, sold, now)
            renewal.run(now=now)
    return documents(subscription)


def give(subscription: Subscription, minor: int) -> None:
    ledger.keep_as_credit(
        organization_id=subscription.organization_id,
        amount=EUR(minor),
        key=f"gift:{subscription.pk}",
        reference="gift",
        now=START,
    )


def documents(subscription: Subscription) -> list[tuple[object, ...]]:
    """Its orders and invoices as they read, and what the customer's account holds."""
    for order in subscription.orders.filter(state="fulfilled").order_by("fulfilled_at", "number"):
        assert order.fulfilled_at is not None
        invoicing.draft_for_order(order.pk, now=order.fulfilled_at)
    made: list[tuple[object, ...]] = [
        (
            *(row.kind, row.state, row.price.interval, row.plan.name),
            *(row.discount_minor, row.total_minor, row.credit_minor),
            *(row.created_at, row.period_start, row.period_end),
        )
        for row in subscription.orders.select_related("price", "plan").order_by("created_at", "number")
    ]
    for invoice in Invoice.objects.filter(subscription=subscription).order_by("created_at", "kind", "total_minor"):
        content = {name: value for name, value in invoice.content.items() if name not in {"reference", "lines"}}
        lines = [
            {name: value for name, value in line.items() if name != "description"} | {"name": line["name"].split()[-1]}
            for line in invoice.content["lines"]
        ]
        made.append((invoice.kind, invoice.net_minor, invoice.tax_minor, invoice.total_minor, content, lines))
    made.append(("credit", books.credit(subscription.organization_id).get("EUR", EUR(0)).minor))
    return made


@pytest.mark.slow
def test_p23_three_years_of_a_company_day_by_day_and_in_jumps_are_the_same_documents() -> None:
    every_day = lived(range(1, 3 * 365, 1))
    one_jump = lived([3 * 365 - 1])
    assert every_day == one_jump
    assert len([row for row in every_day if row[0] == "renewal"]) > 20


@pytest.mark.slow
def test_p23_five_years_day_by_day_are_one_jump() -> None:
    found = []
    for moments in (range(1, 5 * 365 + 1), [5 * 365]):
        subscription = subscribe(shop().bronze)
        give(subscription, 3600 * 59)
        for day in moments:
            now = START + timedelta(days=day)
            # What the schedule finds; most days there is nothing.
            if list(renewals.to_renew(now)) or list(renewals.to_roll(now)):
                renewal.run(now=now)
        found.append(documents(subscription))
    assert found[0] == found[1]
    assert Order.objects.filter(kind=Order.RENEWAL, state="fulfilled").count() == 2 * 59
