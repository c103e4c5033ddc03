"""Another price for who subscribed already, a step down that counts now, and credit that pays a part."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import (
    invoicing,
    ledger,
    plan_changes,
    price_changes,
    refunds,
    subscriptions,
)
from parcelle.domain.billing.errors import PriceChangeRefused
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import Invoice, Order, PriceChange, PriceNotice, Subscription
from parcelle.domain.catalog import actions as catalog
from parcelle.domain.catalog.models import Coupon, Price
from parcelle.journeys import renewal
from tests.domain.billing import documents
from tests.domain.billing.subscribing import (
    DAY,
    START,
    asked,
    begin,
    pay_and_have,
    run,
    shop,
    subscribe,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
EUR = partial(Money, currency="EUR")


def now_of(subscription: Subscription) -> Subscription:
    return Subscription.objects.select_related("plan", "price").get(pk=subscription.pk)


def waiting(subscription: Subscription) -> Order:
    order = asked(subscription)
    assert order is not None
    return order


def due(subscription: Subscription) -> datetime:
    until = now_of(subscription).period_end
    assert until is not None
    return until


def dearer(price: Price, amount: Money, *, now: datetime = START) -> Price:
    return catalog.set_price(price.plan_id, interval=price.interval, amount=amount, now=now)


# --- prices -------------------------------------------------------------------------------------------------


def test_another_price_alone_changes_nothing_for_who_subscribed() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    dearer(sold.bronze, EUR(4000))
    run(due(subscription) - 7 * DAY)
    assert waiting(subscription).subtotal_minor == 3000


def test_an_announced_price_counts_at_the_first_renewal_after_the_notice_and_is_told_once() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    new = dearer(sold.bronze, EUR(4000))
    price_changes.announce(old_id=sold.bronze.pk, new_id=new.pk, actor="operator", now=START + DAY)
    first, paid = due(subscription), []
    for _period in range(3):
        now = due(subscription) - 7 * DAY
        renewal.run(now=now)
        order = waiting(subscription)
        paid.append((order.period_start, order.subtotal_minor))
        pay_and_have(order, now=now)
    assert [minor for _start, minor in paid] == [3000, 4000, 4000]
    assert paid[0][0] == first
    assert now_of(subscription).price == new
    [told] = Fact.objects.filter(name="PriceChangeDue")
    assert datetime.fromisoformat(told.data["effective_at"]) == paid[1][0]


def test_prices_that_follow_each_other_all_count() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    prices = [sold.bronze, dearer(sold.bronze, EUR(4000)), dearer(sold.bronze, EUR(5000))]
    for old, new in pairwise(prices):
        price_changes.announce(old_id=old.pk, new_id=new.pk, actor="x", now=START, notice=timedelta(0))
    run(due(subscription) - 7 * DAY)
    assert waiting(subscription).subtotal_minor == 5000


def test_what_is_no_change_of_price_is_refused() -> None:
    sold = shop()
    announce = partial(price_changes.announce, actor="x", now=START)
    terms = {"plan": sold.bronze.plan, "interval": "month", "currency": "EUR"}
    new = Price.objects.create(**terms, amount_minor=1, created_at=START, retired_at=START)
    with pytest.raises(PriceChangeRefused, match="on_sale"):
        announce(old_id=sold.bronze.pk, new_id=new.pk)
    current = dearer(sold.bronze, EUR(4000))
    for other in (sold.silver, sold.bronze_year, sold.bronze):
        with pytest.raises(PriceChangeRefused, match="other_kind"):
            announce(old_id=sold.bronze.pk, new_id=other.pk)
    made = announce(old_id=sold.bronze.pk, new_id=current.pk)
    assert announce(old_id=sold.bronze.pk, new_id=current.pk) == made
    with pytest.raises(PriceChangeRefused, match="announced"):
        announce(old_id=sold.bronze.pk, new_id=dearer(sold.bronze, EUR(4500)).pk)


def test_two_prices_that_point_at_each_other_end() -> None:
    first = shop().bronze
    second = dearer(first, EUR(4000))
    dearer(second, EUR(5000))
    price_changes.announce(old_id=first.pk, new_id=second.pk, actor="operator", now=START)
    with pytest.raises(PriceChangeRefused, match="circle"):
        price_changes.announce(old_id=second.pk, new_id=first.pk, actor="operator", now=START)
    # Also where the database says so.
    PriceChange.objects.create(
        old_id=second.pk, new_id=first.pk, actor="operator", announced_at=START, effective_at=START
    )
    first.refresh_from_db()
    assert price_changes.price_at(first, START + 400 * DAY) in (first, second)


def test_each_is_told_once_also_by_the_database() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    new = dearer(sold.bronze, EUR(4000))
    change = price_changes.announce(old_id=sold.bronze.pk, new_id=new.pk, actor="x", now=START)
    assert [price_changes.tell(subscription.pk, now=START) for _again in range(2)] == [True, False]
    assert list(price_changes.to_tell(START)) == []
    with pytest.raises(IntegrityError), transaction.atomic():
        PriceNotice.objects.create(change=change, subscription=subscription, at=START)
    assert PriceChange.objects.count() == 1


# --- a step down that counts now ----------------------------------------------------------------------------


def step_down(subscription: Subscription, price: Price, *, now: datetime) -> Order:
    order = plan_changes.change(
        subscription.pk, price_id=price.pk, request_id=uuid.uuid4(), actor="customer", now=now, at_once=True
    )
    assert order is not None
    return order


def step_up(subscription: Subscription, price: Price, *, now: datetime) -> Order:
    order = plan_changes.change(subscription.pk, price_id=price.pk, request_id=uuid.uuid4(), actor="customer", now=now)
    assert order is not None
    return order


def credit(subscription: Subscription) -> int:
    return books.credit(subscription.organization_id).get("EUR", EUR(0)).minor


def test_p22_a_step_down_that_counts_now_gives_the_rest_of_the_difference_as_credit() -> None:
    sold = shop()
    subscription = subscribe(sold.silver)
    half = START + (due(subscription) - START) / 2
    order = step_down(subscription, sold.bronze, now=half)
    after = now_of(subscription)
    assert (after.plan.name, after.period_end, order.total_minor) == ("Bronze", due(subscription), 0)
    assert credit(subscription) == 1800
    [note] = Invoice.objects.filter(kind=Invoice.CREDIT_NOTE)
    assert (note.net_minor, note.tax_minor, note.total_minor) == (1500, 300, 1800)
    run(due(subscription) - 7 * DAY)
    renewed = waiting(subscription)
    assert (renewed.total_minor, renewed.credit_minor, renewed.due.minor) == (3600, 1800, 1800)


def test_what_was_refunded_is_not_offered_as_credit_again() -> None:
    sold = shop()
    subscription = subscribe(sold.silver)
    half = START + (due(subscription) - START) / 2
    offered = partial(plan_changes.preview, subscription, sold.bronze, now=half)
    assert offered().may_be_now
    paid = invoicing.draft_for_order(subscription.orders.get().pk, now=half)
    assert paid is not None
    invoicing.credit(paid.pk, key="of-a-refund", reason="", now=half)
    assert not offered().may_be_now
    # Who asks all the same waits for the period's end, as everybody can.
    wanted: Any = {"price_id": sold.bronze.pk, "request_id": uuid.uuid4(), "actor": "customer", "now": half}
    assert plan_changes.change(subscription.pk, **wanted, at_once=True) is None
    assert now_of(subscription).next_price == sold.bronze
    assert credit(subscription) == 0


@pytest.mark.parametrize("hours", range(0, 120, 17))
def test_p22_up_and_down_again_costs_nothing_also_where_the_next_period_is_paid(hours: int) -> None:
    sold = shop()
    low, high = (
        catalog.set_price(price.plan_id, interval="month", amount=EUR(minor), now=START)
        for price, minor in ((sold.bronze, 999), (sold.silver, 1998))
    )
    subscription, end = _paid_early(low)
    now = end - 5 * DAY + timedelta(hours=hours)
    up = step_up(subscription, high, now=now)
    pay_and_have(up, now=now)
    step_down(subscription, low, now=now)
    assert credit(subscription) == up.total_minor


def test_p21_a_period_that_was_paid_early_never_begins_after_a_switch_to_a_year() -> None:
    sold = shop()
    subscription, end = _paid_early(sold.bronze)
    begun = end - 4 * DAY
    pay_and_have(step_up(subscription, sold.bronze_year, now=begun), now=begun)
    assert not subscription.orders.filter(period_end__lt=F("period_start")).exists()
    run(end)
    assert now_of(subscription).period_start == begun


def test_p21_a_pause_moves_all_that_is_paid_along() -> None:
    sold = shop()
    subscription, end = _paid_early(sold.bronze)
    subscriptions.pause(subscription.pk, actor="x", now=end - 4 * DAY)
    back = end + 99 * DAY
    subscriptions.go_on(subscription.pk, actor="x", now=back)
    paid = subscription.orders.filter(state="fulfilled", period_end__gt=back).order_by("period_start")
    left = [(order.period_start, order.period_end) for order in paid if order.period_start and order.period_end]
    assert [after[0] for after in left[1:]] == [before[1] for before in left[:-1]]
    assert sum((ends - max(starts, back) for starts, ends in left), timedelta()) == due(subscription) - back


def test_p22_refunded_time_pays_nothing_of_a_year() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    year = partial(plan_changes.preview, subscription, sold.bronze_year, now=START + DAY)
    assert year().cost < EUR(30000)
    paid = invoicing.draft_for_order(subscription.orders.get().pk, now=START)
    assert paid is not None
    invoicing.credit(paid.pk, key="half-of-it", reason="", now=START, amount=EUR(1800))
    assert year().cost == EUR(28500)
    invoicing.credit(paid.pk, key="the-rest", reason="", now=START)
    assert year().cost == EUR(30000)


def _paid_early(price: Price) -> tuple[Subscription, datetime]:
    """Somebody whose next period is paid, and when it begins."""
    subscription = subscribe(price)
    end = due(subscription)
    run(end - 7 * DAY)
    following = asked(subscription)
    assert following is not None
    pay_and_have(following, now=end - 6 * DAY)
    return now_of(subscription), end


def test_p22_credit_is_never_more_than_was_paid_however_often_one_changes() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    now = START + DAY
    for _turn in range(3):
        order = step_up(subscription, sold.silver, now=now)
        if order.state == "open":
            pay_and_have(order, now=now)
        before = credit(subscription)
        step_down(subscription, sold.bronze, now=now)
        # Up and down in the same instant: what going up cost is credit, to the last unit.
        assert credit(subscription) - before == order.total_minor
        now += DAY
    invoiced = sum(Invoice.objects.filter(kind=Invoice.INVOICE).values_list("total_minor", flat=True))
    credited = sum(Invoice.objects.filter(kind=Invoice.CREDIT_NOTE).values_list("total_minor", flat=True))
    assert credited <= invoiced


def test_p22_with_a_coupon_only_what_was_paid_comes_back() -> None:
    sold = shop()
    coupon = Coupon.objects.create(code="HALF", percent=50, payments=None)
    subscription = subscribe(sold.silver, coupon=coupon)
    step_down(subscription, sold.bronze, now=START)
    assert credit(subscription) == 1800


@pytest.mark.parametrize("spent", [0, 1000])
def test_p05_p06_what_a_step_down_gave_back_goes_back_once_when_all_is_refunded(spent: int) -> None:
    """What was spent of it meanwhile is owed; nothing waits for a credit note that can never be."""
    sold = shop()
    subscription = subscribe(sold.silver)
    paid = subscription.orders.get()
    documents.vendor()
    documents.customer(subscription.organization)
    invoicing.draft_for_order(paid.pk, now=START)
    step_down(subscription, sold.bronze, now=START)
    assert credit(subscription) == 3600
    ledger.pay_out_credit(
        organization_id=subscription.organization_id, amount=EUR(spent), key="spent", reference="x", now=START
    )
    refund = refunds.request(
        paid.payments.get().pk, amount=EUR(7200), reason="goodwill", actor="x", now=START, by_hand=True
    )
    notes = [invoicing.credit_for_refund(refund.pk, now=START) for _time in range(2)]
    assert notes[0] is not None
    assert (notes[0], notes[0].total_minor, notes[0].refund) == (notes[1], 3600, refund)
    for document in Invoice.objects.order_by("-kind"):
        invoicing.finalise(document.pk, clock=lambda: START, press=documents.QuickPress())
    assert credit(subscription) == 0
    assert books.balances(subscription.organization_id)["EUR"] == EUR(spent)


def test_asking_for_the_same_step_down_twice_gives_back_once() -> None:
    sold = shop()
    subscription = subscribe(sold.silver)
    ask = partial(
        plan_changes.change,
        subscription.pk,
        price_id=sold.bronze.pk,
        request_id=uuid.uuid4(),
        actor="customer",
        now=START,
        at_once=True,
    )
    assert ask() == ask()
    assert credit(subscription) == 3600


# --- credit that does not suffice ---------------------------------------------------------------------------


def gift(subscription: Subscription, minor: int) -> None:
    ledger.keep_as_credit(
        organization_id=subscription.organization_id, amount=EUR(minor), key="gift", reference="AV-1", now=START
    )


@pytest.mark.parametrize(("has", "used"), [(0, 0), (1000, 1000), (3599, 3500), (3600, 3600), (9999, 3600)])
def test_credit_pays_what_it_can_and_leaves_enough_to_be_paid(has: int, used: int) -> None:
    subscription = subscribe(shop().bronze)
    if has:
        gift(subscription, has)
    run(due(subscription) - 7 * DAY)
    order = subscription.orders.get(kind=Order.RENEWAL)
    assert (order.credit_minor, credit(subscription)) == (used, has - used)
    assert order.state == ("fulfilled" if used == 3600 else "open")
    if order.due:
        assert begin(order, now=START + 22 * DAY).amount == order.due


def test_p05_the_rest_is_paid_and_the_books_are_even() -> None:
    subscription = subscribe(shop().bronze)
    owed = books.balances(subscription.organization_id)["EUR"].minor
    gift(subscription, 1000)
    run(due(subscription) - 7 * DAY)
    order = waiting(subscription)
    pay_and_have(order, now=due(subscription) - DAY)
    order.refresh_from_db()
    assert order.state == "fulfilled"
    # What came in for it on the rail, no more: the gift was the customer's before.
    assert books.balances(subscription.organization_id)["EUR"].minor == owed - 2600
    invoice = invoicing.draft_for_order(order.pk, now=START)
    assert invoice is not None and invoice.total_minor == 3600


def test_credit_comes_back_when_the_order_is_given_up() -> None:
    subscription = subscribe(shop().bronze)
    gift(subscription, 1000)
    run(due(subscription) - 7 * DAY)
    assert credit(subscription) == 0
    subscriptions.cancel(subscription.pk, at_once=False, reason="", actor="x", now=due(subscription) - 6 * DAY)
    assert credit(subscription) == 1000


def test_credit_within_the_order_is_held_by_the_database() -> None:
    subscription = subscribe(shop().bronze)
    with pytest.raises(IntegrityError, match="credit_within_the_order"), transaction.atomic():
        subscription.orders.update(credit_minor=3601)
