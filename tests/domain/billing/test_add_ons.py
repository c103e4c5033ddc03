"""Add-ons by quantity: bought with the plan or later, renewed with it, each a line of its own, and what they allow."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from parcelle.core.money import Money
from parcelle.domain.billing import baskets, invoicing, orders, plan_changes, renewals, revenue, subscriptions, usage
from parcelle.domain.billing.errors import AddOnRefused, ChangeRefused
from parcelle.domain.billing.invoicing.content import Content
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import Invoice, Order, Subscription
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.catalog import actions
from parcelle.domain.catalog.models import AddOn, AddOnPrice, Coupon, PlanFeature
from tests.domain.billing.subscribing import DAY, START, Shop, add_on, asked, pay, pay_and_have, run, shop, subscribe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def sold() -> Shop:
    return shop()


@pytest.fixture
def users(sold: Shop) -> AddOn:
    """Ten euros a month each, two users each, beside a plan that includes three."""
    found = add_on(sold, "users", month=10, year=100, adds=2)
    PlanFeature.objects.create(plan=sold.bronze.plan, feature=found.feature, counted=True, amount=3)
    PlanFeature.objects.create(plan=sold.silver.plan, feature=found.feature, counted=True, amount=5)
    return found


def now_of(subscription: Subscription) -> Subscription:
    return Subscription.objects.select_related("plan__product", "price__plan", "next_price__plan").get(
        pk=subscription.pk
    )


def take(subscription: Subscription, *chosen: tuple[AddOn, int], now: datetime, at_once: bool = False) -> Order | None:
    return plan_changes.change_add_ons(
        subscription.pk,
        quantities={one.pk: quantity for one, quantity in chosen},
        request_id=uuid.uuid4(),
        actor="customer",
        now=now,
        at_once=at_once,
    )


def has(subscription: Subscription) -> dict[str, int]:
    return {one.price.add_on.feature.key: one.quantity for one in baskets.read(now_of(subscription).extras)}


def allowed(subscription: Subscription) -> int | None:
    return {one.metric: one.limit for one in usage.current(now_of(subscription))}["users"]


def lines(order: Order, now: datetime) -> list[tuple[str, int, int]]:
    invoice = invoicing.draft_for_order(order.pk, now=now)
    assert invoice is not None
    content = Content.read(invoice.content)
    assert content.net.minor == order.subtotal_minor - order.discount_minor and content.total == order.total
    return [(line.name, line.quantity, line.net.minor) for line in content.lines]


def end(subscription: Subscription) -> datetime:
    assert subscription.period_end is not None
    return subscription.period_end


def half(subscription: Subscription) -> datetime:
    assert subscription.period_start is not None and subscription.period_end is not None
    return subscription.period_start + (subscription.period_end - subscription.period_start) / 2


def test_bought_with_the_plan_it_is_a_line_of_the_invoice_and_raises_the_limit(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.bronze, add_ons={users.pk: 2})
    order = subscription.orders.get()
    assert order.subtotal_minor == 5000 and has(subscription) == {"users": 2}
    assert allowed(subscription) == 3 + 2 * 2
    assert lines(order, START) == [("Plain Bronze", 1, 3000), ("Plus", 2, 2000)]


def test_it_is_renewed_with_the_plan_at_the_price_it_was_sold_at(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.bronze, add_ons={users.pk: 2})
    actions.set_add_on_price(users.pk, interval="month", amount=Money(9900, "EUR"), adds=1, now=START + DAY)
    run(end(subscription) - 7 * DAY)
    order = asked(subscription)
    assert order is not None and order.subtotal_minor == 5000
    pay_and_have(order, now=end(subscription))
    assert has(subscription) == {"users": 2} and allowed(subscription) == 7
    assert lines(order, end(subscription))[1] == ("Plus", 2, 2000)


def test_more_of_it_counts_at_once_for_the_rest_of_the_period(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.bronze)
    now = half(subscription)
    order = take(subscription, (users, 3), now=now)
    assert order is not None and order.kind == Order.CHANGE and order.subtotal_minor == 1500
    assert has(subscription) == {} and allowed(subscription) == 3
    pay_and_have(order, now=now)
    assert has(subscription) == {"users": 3} and allowed(subscription) == 9
    assert lines(order, now) == [("Plus", 1, 1500)]
    assert revenue.recurring(now)["EUR"].minor == 6000
    after = now_of(subscription)
    assert after.period_end == subscription.period_end and after.renews_at is not None


def test_more_and_fewer_in_the_same_instant_cost_nothing(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.bronze, coupon=Coupon.objects.create(code="TEN", percent="33.33", payments=None))
    now = half(subscription)
    up = plan_changes.preview_add_ons(now_of(subscription), {users.pk: 7}, now=now)
    assert up is not None
    order = take(subscription, (users, 7), now=now)
    assert order is not None
    pay_and_have(order, now=now)
    down = plan_changes.preview_add_ons(now_of(subscription), {users.pk: 0}, now=now)
    assert down is not None and (up.cost + down.cost).minor == 0


def test_fewer_waits_for_the_end_of_the_period(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.bronze, add_ons={users.pk: 3})
    assert take(subscription, (users, 1), now=half(subscription)) is None
    assert has(subscription) == {"users": 3} and allowed(subscription) == 9
    run(end(subscription) - 7 * DAY)
    order = asked(subscription)
    assert order is not None and order.subtotal_minor == 4000
    pay_and_have(order, now=end(subscription))
    assert has(subscription) == {"users": 1} and allowed(subscription) == 5
    assert now_of(subscription).next_extras is None


def test_fewer_from_the_next_period_on_stay_chosen_when_something_else_counts_now(sold: Shop, users: AddOn) -> None:
    disk = add_on(sold, "disk", month=4, year=40)
    subscription = subscribe(sold.bronze, add_ons={users.pk: 3, disk.pk: 1})
    now = half(subscription)
    take(subscription, (users, 1), now=now)
    more = take(subscription, (disk, 2), now=now)
    assert more is not None
    pay_and_have(more, now=now)
    up = plan_changes.change(
        subscription.pk, price_id=sold.silver.pk, request_id=uuid.uuid4(), actor="customer", now=now
    )
    assert up is not None
    pay_and_have(up, now=now)
    assert has(subscription) == {"users": 3, "disk": 2}
    after = now_of(subscription)
    assert renewals.following(after, end(after)).amount.minor == 6000 + 1000 + 800
    # A period of another length is the next one.
    year = plan_changes.preview(after, sold.silver_year, now=now)
    assert {extra.price.add_on_id: extra.quantity for extra in year.extras} == {users.pk: 1, disk.pk: 2}


def test_fewer_that_are_paid_early_are_fewer_when_their_period_begins(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.bronze, add_ons={users.pk: 3})
    begins = end(subscription)
    take(subscription, (users, 1), now=half(subscription))
    run(begins - 7 * DAY)
    order = asked(subscription)
    assert order is not None
    pay_and_have(order, now=begins - 6 * DAY)
    assert has(subscription) == {"users": 3} and allowed(subscription) == 9
    run(begins)
    assert has(subscription) == {"users": 1} and allowed(subscription) == 5


def test_fewer_at_once_gives_the_rest_back_as_credit(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.bronze, add_ons={users.pk: 3})
    now = half(subscription)
    lines(subscription.orders.get(), START)
    order = take(subscription, (users, 1), now=now, at_once=True)
    assert order is not None and order.state == "fulfilled" and order.total_minor == 0
    assert has(subscription) == {"users": 1} and allowed(subscription) == 5
    # Half of two, with a fifth of tax.
    assert books.credit(subscription.organization_id)["EUR"].minor == 1200
    assert Invoice.objects.get(kind="credit_note").total_minor == 1200


def test_what_was_asked_for_the_end_of_the_period_can_be_taken_back(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.silver, add_ons={users.pk: 3})
    now = half(subscription)
    take(subscription, (users, 0), now=now)
    take(subscription, (users, 3), now=now)
    assert now_of(subscription).next_extras is None
    plan_changes.change(subscription.pk, price_id=sold.bronze.pk, request_id=uuid.uuid4(), actor="customer", now=now)
    assert now_of(subscription).next_price == sold.bronze
    take(subscription, (users, 1), now=now)
    after = now_of(subscription)
    assert after.next_price == sold.bronze and renewals.following(after, end(after)).amount.minor == 4000
    plan_changes.change(subscription.pk, price_id=sold.silver.pk, request_id=uuid.uuid4(), actor="customer", now=now)
    after = now_of(subscription)
    assert after.next_price is None and renewals.following(after, end(after)).amount.minor == 9000


def test_another_plan_and_another_interval_take_it_along(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.bronze, add_ons={users.pk: 2})
    now = half(subscription)
    up = plan_changes.change(
        subscription.pk, price_id=sold.silver.pk, request_id=uuid.uuid4(), actor="customer", now=now
    )
    assert up is not None and up.subtotal_minor == 1500
    pay_and_have(up, now=now)
    assert has(subscription) == {"users": 2} and allowed(subscription) == 9
    year = plan_changes.change(
        subscription.pk, price_id=sold.silver_year.pk, request_id=uuid.uuid4(), actor="customer", now=now
    )
    # A whole year of both, less half a month of both.
    assert year is not None and year.subtotal_minor == 60000 + 20000 - 4000
    pay_and_have(year, now=now)
    assert lines(year, now) == [("Plain Silver", 1, 56000), ("Plus", 2, 20000)]
    assert revenue.monthly(baskets.of(now_of(subscription))).minor == 6667


def test_a_plan_that_cannot_have_it_is_refused(sold: Shop, users: AddOn) -> None:
    users.plans.add(sold.bronze.plan)
    subscription = subscribe(sold.bronze, add_ons={users.pk: 2})
    with pytest.raises(ChangeRefused, match="add_ons"):
        plan_changes.preview(now_of(subscription), sold.silver, now=half(subscription))


def test_two_add_ons_one_more_and_one_less_are_lines_of_one_order(sold: Shop, users: AddOn) -> None:
    disk = add_on(sold, "disk", month=4)
    subscription = subscribe(sold.bronze, add_ons={users.pk: 1, disk.pk: 5})
    now = half(subscription)
    order = take(subscription, (users, 4), (disk, 2), now=now)
    assert order is not None and order.subtotal_minor == 1500 - 600
    pay_and_have(order, now=now)
    assert has(subscription) == {"users": 4, "disk": 2}
    assert sorted(lines(order, now)) == [("Plus", -1, -600), ("Plus", 1, 1500)]


def test_no_more_than_there_may_be_and_only_what_is_sold(sold: Shop, users: AddOn) -> None:
    AddOn.objects.filter(pk=users.pk).update(most=3)
    subscription = subscribe(sold.bronze, add_ons={users.pk: 2})
    for quantity, code in ((4, "too_many"), (-1, "too_many")):
        with pytest.raises(AddOnRefused, match=code):
            take(subscription, (users, quantity), now=half(subscription))
    AddOn.objects.filter(pk=users.pk).update(enabled=False)
    with pytest.raises(AddOnRefused, match="not_on_sale"):
        take(subscription, (users, 3), now=half(subscription))
    assert take(subscription, (users, 1), now=half(subscription)) is None
    with pytest.raises(AddOnRefused, match="not_on_sale"):
        subscribe(sold.bronze, add_ons={users.pk: 1})


def test_a_customer_who_comes_back_has_it_again(sold: Shop, users: AddOn) -> None:
    subscription = subscribe(sold.bronze, add_ons={users.pk: 2})
    now = half(subscription)
    subscriptions.cancel(subscription.pk, at_once=True, reason="", actor="customer", now=now)
    order = renewals.offer(subscription.pk, now=now + DAY)
    assert order.subtotal_minor == 5000
    pay(order, now=now + DAY)
    renewals.fulfil(order.pk, now=now + DAY)
    assert has(subscription) == {"users": 2}


def test_a_coupon_takes_its_part_of_all_lines(sold: Shop, users: AddOn) -> None:
    coupon = Coupon.objects.create(code="TEN", percent=10)
    subscription = subscribe(sold.bronze, coupon=coupon, add_ons={users.pk: 2})
    assert lines(subscription.orders.get(), START) == [("Plain Bronze", 1, 2700), ("Plus", 2, 1800)]


def test_an_order_shows_what_it_comes_to_before_it_is_placed(sold: Shop, users: AddOn) -> None:
    buyer = Buyer(first_name="Awa", last_name="Diop", company="Diop", email="awa@example.org")
    sum_ = orders.preview(sold.bronze, coupon_code="", buyer=buyer, now=START, add_ons={users.pk: 3})
    assert sum_.subtotal.minor == 6000


def test_a_price_that_was_sold_stays(users: AddOn) -> None:
    price = users.prices.filter(interval="month").get()
    for forbidden in (lambda: AddOnPrice.objects.filter(pk=price.pk).update(adds=9), price.delete):
        with pytest.raises(IntegrityError), transaction.atomic():
            forbidden()
    again = actions.set_add_on_price(
        users.pk, interval="month", amount=price.amount, adds=price.adds, now=START + timedelta(days=1)
    )
    assert again == price


def test_what_only_the_add_on_allowed_is_not_allowed_without_it(sold: Shop) -> None:
    disk = add_on(sold, "disk", month=4, adds=10)
    subscription = subscribe(sold.bronze, add_ons={disk.pk: 5})
    assert [(one.metric, one.limit) for one in usage.current(subscription)] == [("disk", 50)]
    take(subscription, (disk, 0), now=half(subscription), at_once=True)
    assert [(one.metric, one.limit) for one in usage.current(now_of(subscription))] == [("disk", 0)]
