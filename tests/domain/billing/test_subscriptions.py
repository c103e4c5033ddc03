"""P21 to P28: periods tile, changes add up, the clock may jump, nobody is suspended too early, one bad customer
stops nobody, and the recurring revenue is what active subscriptions bring in."""

from __future__ import annotations

import calendar
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest
import time_machine
from django.db import IntegrityError, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import (
    baskets,
    calendars,
    dunning,
    entitlement,
    ledger,
    order_links,
    payments,
    periods,
    plan_changes,
    proration,
    renewals,
    revenue,
    states,
    subscriptions,
)
from parcelle.domain.billing.entitlement import Right
from parcelle.domain.billing.errors import ChangeRefused, NotActive, NotRenewable, PaymentOpen
from parcelle.domain.billing.gateways.base import Declined
from parcelle.domain.billing.gateways.fake import FakeGateway
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import (
    DunningStep,
    Order,
    Payment,
    RevenueMovement,
    SavedMethod,
    Subscription,
)
from parcelle.domain.catalog.models import Coupon, Plan, Price
from parcelle.journeys import automatic_payment, renewal
from parcelle.journeys import dunning as dunning_journey
from tests.domain.billing.subscribing import (
    DAY,
    START,
    arrive,
    asked,
    begin,
    days,
    pay_and_have,
    run,
    shop,
    subscribe,
)
from tests.together import at_once

pytestmark = pytest.mark.usefixtures("test_blueprints")
EUR = partial(Money, currency="EUR")


def now_of(subscription: Subscription) -> Subscription:
    return Subscription.objects.select_related("plan", "price").get(pk=subscription.pk)


def waiting(subscription: Subscription) -> Order:
    order = asked(subscription)
    assert order is not None
    return order


def local(moment: datetime | None) -> str:
    assert moment is not None
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


# --- P21: periods -------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_p21_a_year_of_months_from_the_31st_does_not_drift() -> None:
    subscription = subscribe(shop().bronze)
    for day in days(START, *range(1, 370, 3)):
        run(day)
        order = asked(subscription)
        if order is not None:
            pay_and_have(order, now=day)
    rows = list(subscription.orders.filter(state="fulfilled").order_by("period_start"))
    starts = [local(row.period_start) for row in rows]
    assert starts[:6] == [f"2026-{day} 10:00" for day in ("01-31", "02-28", "03-31", "04-30", "05-31", "06-30")]
    assert len(starts) == 13
    assert all(before.period_end == after.period_start for before, after in pairwise(rows))
    assert books.balances(subscription.organization_id) == {"EUR": EUR(-13 * 3600)}


@pytest.mark.django_db
def test_p21_each_period_is_asked_for_once() -> None:
    subscription = subscribe(shop().bronze)
    for day in days(START, 21, 21, 22, 23):
        run(day)
        run(day)
    order = waiting(subscription)
    assert subscription.orders.filter(kind=Order.RENEWAL).count() == 1
    again = Order.objects.get(pk=order.pk)
    again.pk, again.number, again.request_id = uuid.uuid4(), "CMD-X", uuid.uuid4()
    with pytest.raises(IntegrityError, match="each_period_once"), transaction.atomic():
        again.save(force_insert=True)


@pytest.mark.django_db(transaction=True)
def test_p21_two_runs_at_once_ask_once() -> None:
    subscription = subscribe(shop().bronze)
    at_once([partial(renewals.renew, subscription.pk, now=START + 21 * DAY) for _ in range(4)]).all()
    assert subscription.orders.filter(kind=Order.RENEWAL).count() == 1


@given(
    st.integers(0, 7 * 365 * 24 * 60).map(
        lambda minutes: datetime(2023, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    st.sampled_from(["month", "year"]),
    st.integers(1, 40),
)
def test_p21_periods_tile_from_any_anchor(start: datetime, interval: str, count: int) -> None:
    anchor = periods.anchor_of(start)
    at = start
    for _period in range(count):
        following = periods.next_start(at, interval=interval, anchor_day=anchor)
        assert following > at
        day = timezone.localtime(following)
        assert day.day == min(anchor, calendar.monthrange(day.year, day.month)[1])
        at = following


# --- P22: changes -------------------------------------------------------------------------------------------

amounts = st.integers(0, 10**7)
shares = st.integers(0, 1000)


@given(amounts, st.lists(amounts, min_size=1, max_size=6), shares)
def test_p22_changes_in_one_instant_add_up_and_going_back_costs_nothing(
    first: int, others: list[int], elapsed: int
) -> None:
    end = START + 31 * DAY
    difference = partial(proration.difference, start=START, end=end, now=START + (end - START) * elapsed / 1000)
    path = [EUR(minor) for minor in (first, *others, first)]
    assert sum(difference(old, new).minor for old, new in pairwise(path)) == 0


@given(amounts, st.integers(-1000, 2000))
def test_p22_unused_time_is_never_worth_more_than_was_paid(paid: int, elapsed: int) -> None:
    end = START + 31 * DAY
    left = proration.worth(EUR(paid), start=START, end=end, now=START + (end - START) * elapsed / 1000)
    assert 0 <= left.minor <= paid


@pytest.mark.django_db
def test_p22_a_step_up_counts_at_once_for_the_difference() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    half = START + (renewal_day(subscription) - START) / 2
    order = change(subscription, sold.silver, now=half)
    assert order is not None
    assert (order.subtotal_minor, order.tax_minor) == (1500, 300)
    assert now_of(subscription).plan.name == "Bronze"
    pay_and_have(order, now=half)
    after = now_of(subscription)
    assert (after.plan.name, after.price, after.period_end) == ("Silver", sold.silver, renewal_day(subscription))
    run(renewal_day(subscription) - 7 * DAY)
    assert waiting(subscription).subtotal_minor == 6000


@pytest.mark.django_db
def test_p22_up_and_down_in_the_same_instant_costs_nothing_more() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    now = START + 5 * DAY
    order = change(subscription, sold.silver, now=now)
    assert order is not None
    pay_and_have(order, now=now)
    back = plan_changes.preview(now_of(subscription), sold.bronze, now=now)
    assert back.cost.minor == -order.subtotal_minor
    assert (back.at_once, back.effective_at) == (False, renewal_day(subscription))


@pytest.mark.django_db
def test_p22_a_step_down_waits_for_the_end_of_the_period_and_is_announced_with_the_new_amount() -> None:
    sold = shop()
    subscription = subscribe(sold.silver)
    run(renewal_day(subscription) - 7 * DAY)
    assert waiting(subscription).subtotal_minor == 6000
    now = renewal_day(subscription) - 5 * DAY
    assert change(subscription, sold.bronze, now=now) is None
    assert now_of(subscription).plan.name == "Silver"
    run(now)
    order = waiting(subscription)
    assert order.subtotal_minor == 3000
    begins = renewal_day(subscription)
    pay_and_have(order, now=now + DAY)
    # Paid early: until it begins they have what they paid for before.
    after = now_of(subscription)
    assert (after.plan.name, after.monthly_minor, after.next_price) == ("Silver", 6000, sold.bronze)
    with pytest.raises(ChangeRefused, match="paid_ahead"):
        change(subscription, sold.silver, now=now + DAY)
    run(begins)
    after = now_of(subscription)
    assert (after.plan.name, after.price, after.next_price) == ("Bronze", sold.bronze, None)
    assert (after.period_start, after.monthly_minor) == (begins, 3000)
    assert change(subscription, sold.silver, now=begins + DAY) is not None


@pytest.mark.django_db
def test_p22_a_step_down_chosen_after_the_next_period_was_paid_waits_for_the_end_of_that_one() -> None:
    sold = shop()
    subscription = subscribe(sold.silver)
    first_end = renewal_day(subscription)
    run(first_end - 7 * DAY)
    pay_and_have(waiting(subscription), now=first_end - 6 * DAY)
    second_end = now_of(subscription).period_end
    assert second_end is not None
    assert change(subscription, sold.bronze, now=first_end - 5 * DAY) is None
    run(first_end)
    assert now_of(subscription).plan.name == "Silver"
    run(second_end - 7 * DAY)
    pay_and_have(waiting(subscription), now=second_end)
    assert now_of(subscription).plan.name == "Bronze"


@pytest.mark.django_db
def test_p22_to_a_year_begins_a_year_less_what_is_left() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    half = START + (renewal_day(subscription) - START) / 2
    order = change(subscription, sold.bronze_year, now=half)
    assert order is not None and order.subtotal_minor == 30000 - 1500
    pay_and_have(order, now=half)
    after = now_of(subscription)
    assert (after.period_start, local(after.period_end)[:10]) == (half, "2027-02-14")
    # From there on the year is what is paid, and nothing of the month any more.
    again = plan_changes.preview(after, sold.silver_year, now=half)
    assert again.cost == EUR(30000)


@pytest.mark.django_db
def test_p22_a_coupon_takes_as_much_off_the_difference() -> None:
    sold = shop()
    coupon = Coupon.objects.create(code="HALF", percent=50, payments=None)
    subscription = subscribe(sold.bronze, coupon=coupon)
    order = change(subscription, sold.silver, now=START)
    assert order is not None and order.subtotal_minor == 1500


@pytest.mark.django_db
def test_changes_that_are_refused() -> None:
    sold, other = shop(), shop()
    francs = shop("XAF")
    subscription = subscribe(sold.bronze)
    for price, code in ((sold.bronze, "same"), (other.silver, "other_product"), (francs.silver, "other_currency")):
        with pytest.raises(ChangeRefused, match=code):
            change(subscription, price, now=START)
    subscriptions.cancel(subscription.pk, at_once=True, reason="", actor="customer", now=START)
    with pytest.raises(ChangeRefused, match="not_active"):
        change(subscription, sold.silver, now=START)


@pytest.mark.django_db
def test_asking_for_the_same_change_twice_is_one_order() -> None:
    sold = shop()
    subscription, request_id = subscribe(sold.bronze), uuid.uuid4()
    ask = partial(
        plan_changes.change,
        subscription.pk,
        price_id=sold.silver.pk,
        request_id=request_id,
        actor="customer",
        now=START + DAY,
    )
    assert ask() == ask()


def change(subscription: Subscription, price: Price, *, now: datetime) -> Order | None:
    return plan_changes.change(subscription.pk, price_id=price.pk, request_id=uuid.uuid4(), actor="customer", now=now)


def renewal_day(subscription: Subscription) -> datetime:
    assert subscription.period_end is not None
    return subscription.period_end


# --- P23: the clock jumps -----------------------------------------------------------------------------------


def documents(subscription: Subscription) -> list[tuple[object, ...]]:
    rows = subscription.orders.order_by("created_at", "number")
    return [
        (row.kind, row.state, row.subtotal_minor, row.total_minor, row.created_at, row.period_start, row.period_end)
        for row in rows
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("years", [1, 5])
def test_p23_one_jump_makes_what_every_day_makes(years: int) -> None:
    """With enough credit for what the calendar asks for, a late run writes the documents of each day."""
    sold = shop()
    end = START + timedelta(days=366 * years)
    made = []
    for moments in (days(START, *range(1, 366 * years + 1)), [end]):
        subscription = subscribe(sold.bronze)
        ledger.keep_as_credit(
            organization_id=subscription.organization_id,
            amount=EUR(3600 * 12 * years - 1),
            key=f"gift:{subscription.pk}",
            reference="AV-1",
            now=START,
        )
        for now in [*moments[:: 1 if years == 1 else 30], end]:
            renewal.run(now=now)
        made.append(documents(subscription))
    assert made[0] == made[1]
    assert len(made[0]) == 12 * years + 1
    # What the credit did not suffice for waits for its payment.
    assert [row[1] for row in made[0]].count("open") == 1


@pytest.mark.django_db
def test_p23_of_reminders_that_were_missed_only_the_last_is_sent() -> None:
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    run(due + 4 * DAY)
    order = waiting(subscription)
    sent = list(order.dunning_steps.order_by("days").values_list("days", "sent"))
    assert sent == [(-7, True), (-3, False), (-1, False), (1, False), (3, True)]


# --- P24: dunning -------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_p24_reminded_waited_for_suspended_and_back_by_paying() -> None:
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    seen: dict[str, int] = {}
    for number in range(-8, 9):
        run(due + number * DAY)
        run(due + number * DAY)
        seen.setdefault(now_of(subscription).state, number)
    assert seen == {"active": -8, "past_due": 0, "suspended": 7}
    order = waiting(subscription)
    assert list(order.dunning_steps.order_by("days").values_list("days", flat=True)) == [-7, -3, -1, 1, 3, 6]
    assert Fact.objects.filter(name="RenewalReminderDue").count() == 6
    back = due + 20 * DAY
    pay_and_have(order, now=back)
    after = now_of(subscription)
    assert (after.state, after.suspended_at, after.period_start) == ("active", None, back)
    assert local(after.period_end)[:7] == local(back + 30 * DAY)[:7]


@pytest.mark.django_db
def test_p24_paying_inside_the_grace_goes_on_without_a_gap() -> None:
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    run(due + 6 * DAY)
    assert now_of(subscription).state == "past_due"
    pay_and_have(waiting(subscription), now=due + 6 * DAY)
    after = now_of(subscription)
    assert (after.state, after.period_start) == ("active", due)


@pytest.mark.django_db
def test_p24_never_suspended_while_money_may_be_on_its_way() -> None:
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    payment = begin(waiting(subscription), now=due + 6 * DAY)
    for number in range(6, 12):
        run(due + number * DAY)
        assert now_of(subscription).state == "past_due"
    payments.record(payment.pk, Declined(code="declined"), now=due + 12 * DAY)
    run(due + 12 * DAY)
    assert now_of(subscription).state == "suspended"


@pytest.mark.django_db
def test_p24_an_attempt_begun_after_the_grace_suspends_nobody_later() -> None:
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    run(due)
    begin(waiting(subscription), now=due + 8 * DAY)
    run(due + 8 * DAY)
    assert now_of(subscription).state == "suspended"


@pytest.mark.django_db
def test_p24_who_pays_by_hand_has_a_longer_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeGateway, "abilities", replace(FakeGateway.abilities, prepaid=True))
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    run(due + 13 * DAY)
    assert now_of(subscription).state == "past_due"
    run(due + 14 * DAY)
    assert now_of(subscription).state == "suspended"


@pytest.mark.django_db
def test_p24_a_plan_has_a_calendar_of_its_own() -> None:
    subscription = subscribe(shop(dunning={"month": [-10], "after": [2], "grace": 3}).bronze)
    due = renewal_day(subscription)
    run(due - 11 * DAY)
    assert asked(subscription) is None
    run(due - 10 * DAY)
    order = waiting(subscription)
    run(due + 2 * DAY)
    run(due + 3 * DAY)
    assert list(order.dunning_steps.order_by("days").values_list("days", flat=True)) == [-10, 2]
    assert now_of(subscription).state == "suspended"


@pytest.mark.parametrize(
    "wrong",
    [{"grace": -1}, {"grace": "7"}, {"month": [1]}, {"after": [-1]}, {"month": "often"}, {"mont": [-1]}, {"year": 3}],
)
def test_calendars_that_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(calendars.NotACalendar):
        calendars.read(wrong)


@pytest.mark.django_db
def test_p24_each_step_once() -> None:
    subscription = subscribe(shop().bronze)
    run(renewal_day(subscription) - 7 * DAY)
    order = waiting(subscription)
    with pytest.raises(IntegrityError), transaction.atomic():
        DunningStep.objects.create(order=order, days=-7, at=START, sent=True)


@pytest.mark.django_db(transaction=True)
def test_p24_two_runs_at_once_remind_once() -> None:
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    renewal.run(now=due - 7 * DAY)
    order = waiting(subscription)
    at_once([partial(dunning.step, order.pk, now=due - 7 * DAY) for _ in range(4)]).all()
    assert Fact.objects.filter(name="RenewalReminderDue").count() == 1


@pytest.mark.django_db
def test_money_that_comes_when_everything_is_over_is_credit() -> None:
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    order = waiting(subscription)
    payment = begin(order, now=due)
    subscriptions.end(subscription.pk, reason="operator", now=due)
    arrive(payment, now=due + DAY)
    for _again in range(2):
        assert not renewals.fulfil(order.pk, now=due + DAY)
    assert books.credit(subscription.organization_id) == {"EUR": EUR(3600)}


# --- credit and coupons -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_credit_that_suffices_pays_the_renewal() -> None:
    subscription = subscribe(shop().bronze)
    ledger.keep_as_credit(
        organization_id=subscription.organization_id, amount=EUR(5000), key="g", reference="AV-1", now=START
    )
    run(renewal_day(subscription) - 7 * DAY)
    assert asked(subscription) is None
    assert now_of(subscription).period_end == periods.next_start(
        renewal_day(subscription), interval="month", anchor_day=31
    )
    assert books.credit(subscription.organization_id) == {"EUR": EUR(1400)}


@pytest.mark.django_db
@pytest.mark.parametrize(("payments_", "discounts"), [(1, [0, 0]), (2, [1500, 0]), (None, [1500, 1500])])
def test_a_coupon_counts_for_so_many_payments(payments_: int | None, discounts: list[int]) -> None:
    coupon = Coupon.objects.create(code="HALF", percent=50, payments=payments_)
    subscription = subscribe(shop().bronze, coupon=coupon)
    found = []
    for _period in range(2):
        now = renewal_day(now_of(subscription)) - 7 * DAY
        run(now)
        order = waiting(subscription)
        found.append(order.discount_minor)
        pay_and_have(order, now=now)
    assert found == discounts


# --- cancelling, pausing, coming back -----------------------------------------------------------------------


@pytest.mark.django_db
def test_cancelled_at_the_end_of_the_period_and_taken_back() -> None:
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    assert cancel(subscription, now=due - 6 * DAY) == due
    assert asked(subscription) is None
    run(due - DAY)
    assert now_of(subscription).state == "active"
    subscriptions.take_back(subscription.pk, actor="customer", now=due - DAY)
    run(due - DAY)
    assert asked(subscription) is not None
    cancel(subscription, now=due - DAY)
    run(due)
    after = now_of(subscription)
    assert (after.state, after.suspended_for) == ("suspended", states.CANCELLED)
    with pytest.raises(NotActive):
        subscriptions.take_back(subscription.pk, actor="customer", now=due)


@pytest.mark.django_db
def test_cancelled_now_and_back_with_a_whole_period() -> None:
    subscription = subscribe(shop().bronze)
    now = START + 3 * DAY
    assert cancel(subscription, now=now, at_once=True) == now
    assert now_of(subscription).state == "suspended"
    order = renewals.offer(subscription.pk, now=now + DAY)
    assert renewals.offer(subscription.pk, now=now + DAY) == order
    pay_and_have(order, now=now + 2 * DAY)
    after = now_of(subscription)
    assert (after.state, after.cancel_at, after.period_start) == ("active", None, now + 2 * DAY)
    run(renewal_day(after) - 7 * DAY)
    assert asked(subscription) is not None


@pytest.mark.django_db
def test_nobody_cancels_while_their_money_is_on_its_way() -> None:
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    begin(waiting(subscription), now=due - 6 * DAY)
    with pytest.raises(PaymentOpen):
        cancel(subscription, now=due - 5 * DAY)


@pytest.mark.django_db
def test_what_is_paid_waits_while_it_is_paused() -> None:
    subscription = subscribe(shop().bronze)
    left = renewal_day(subscription) - (START + 10 * DAY)
    subscriptions.pause(subscription.pk, actor="customer", now=START + 10 * DAY)
    for number in (11, 40, 400):
        run(START + number * DAY)
    assert now_of(subscription).state == "suspended"
    with pytest.raises(NotRenewable):
        renewals.offer(subscription.pk, now=START + 400 * DAY)
    subscriptions.go_on(subscription.pk, actor="customer", now=START + 400 * DAY)
    after = now_of(subscription)
    assert (after.state, after.period_end) == ("active", START + 400 * DAY + left)
    run(renewal_day(after) - 7 * DAY)
    assert waiting(subscription).period_start == after.period_end


def cancel(subscription: Subscription, *, now: datetime, at_once: bool = False) -> datetime:
    return subscriptions.cancel(subscription.pk, at_once=at_once, reason="too dear", actor="customer", now=now)


@pytest.mark.django_db
def test_the_link_of_a_renewal_leads_to_it_as_long_as_it_can_be_paid() -> None:
    subscription = subscribe(shop().bronze_year)
    asked_at = renewal_day(subscription) - 30 * DAY
    with time_machine.travel(asked_at, tick=False):
        run(asked_at)
        order = waiting(subscription)
        token = order_links.token_of(order.pk)
    last = order.expires_at
    for moment, found in ((asked_at + 29 * DAY, order.pk), (last - DAY, order.pk), (last + DAY, None)):
        with time_machine.travel(moment, tick=False):
            assert order_links.read(token) == found
    with time_machine.travel(asked_at + 29 * DAY, tick=False):
        Order.objects.filter(pk=order.pk).update(state="fulfilled")
        assert order_links.read(token) is None


@pytest.mark.django_db
def test_p24_who_is_overdue_pays_first_and_changes_then() -> None:
    sold = shop()
    subscription = subscribe(sold.bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    run(due + DAY)
    for price in (sold.silver, sold.bronze_year):
        with pytest.raises(ChangeRefused, match="overdue"):
            change(now_of(subscription), price, now=due + DAY)
    assert asked(subscription) is not None


@pytest.mark.django_db
def test_p21_a_period_that_was_left_behind_does_not_shorten_what_is_paid() -> None:
    """Suspended, bought anew, and then the old invitation is paid as well: that is credit."""
    subscription = subscribe(shop().bronze)
    due = renewal_day(subscription)
    run(due - 7 * DAY)
    run(due)
    run(due + 7 * DAY)
    old = waiting(subscription)
    subscriptions.activate(
        organization=subscription.organization, plan=subscription.plan, price=old.price, now=due + 8 * DAY
    )
    until = renewal_day(now_of(subscription))
    pay_and_have(old, now=due + 9 * DAY)
    assert renewal_day(now_of(subscription)) == until
    assert books.credit(subscription.organization_id) == {"EUR": EUR(3600)}


# --- P26: one bad customer ----------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_p26_one_that_fails_stops_nobody_and_says_why(bad: int) -> None:
    sold = shop()
    everybody = [subscribe(sold.bronze, now=START + timedelta(minutes=number)) for number in range(3)]
    Plan.objects.filter(pk=sold.silver.plan_id).update(dunning={"grace": "poisoned"})
    Subscription.objects.filter(pk=everybody[bad].pk).update(next_price=sold.silver)
    late = START + 22 * DAY
    assert renewal.run(now=late) == {"done": 2, "failed": 1}
    assert [asked(one) is not None for one in everybody] == [number != bad for number in range(3)]
    assert "grace is a number of days" in now_of(everybody[bad]).problem
    Plan.objects.filter(pk=sold.silver.plan_id).update(dunning={})
    assert renewal.run(now=late) == {"done": 1, "failed": 0}
    assert now_of(everybody[bad]).problem == ""


@pytest.mark.django_db
@pytest.mark.parametrize("bad", [0, 1, 2])
@pytest.mark.parametrize("what", ["reminders", "automatic"])
def test_p26_one_unpaid_renewal_that_fails_stops_no_other(bad: int, what: str) -> None:
    sold = shop()
    everybody = [
        subscribe(sold.silver if number == bad else sold.bronze, now=START + timedelta(minutes=number))
        for number in range(3)
    ]
    late = START + 30 * DAY
    renewal.run(now=late)
    if what == "automatic":
        for one in everybody:
            SavedMethod.objects.create(
                organization_id=one.organization_id,
                payment=Payment.objects.get(order__subscription=one),
                gateway="fake",
                reference={"charge": "x"},
                label="4242",
                agreed_at=START,
            )
    Plan.objects.filter(pk=sold.silver.plan_id).update(dunning={"grace": "poisoned"})
    journey = {"reminders": dunning_journey.run, "automatic": automatic_payment.run}[what]
    assert journey(now=late)["failed"] == 1
    for number, one in enumerate(everybody):
        after = now_of(one)
        assert ("grace is a number of days" in after.problem) is (number == bad)
        if what == "reminders":
            assert (after.state == "past_due") is (number != bad)
        else:
            order = one.orders.get(kind=Order.RENEWAL)
            assert (order.state == "paid") is (number != bad)
    Plan.objects.filter(pk=sold.silver.plan_id).update(dunning={})
    assert journey(now=late)["failed"] == 0


# --- P27: entitlement ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "right"),
    [
        ({"state": "trialing", "trial_ends_at": START + DAY}, Right.RUNNING),
        ({"state": "trialing", "trial_ends_at": START}, Right.KEPT),
        ({"state": "active"}, Right.RUNNING),
        ({"state": "active", "cancel_at": START + DAY}, Right.RUNNING),
        ({"state": "active", "cancel_at": START}, Right.KEPT),
        ({"state": "past_due"}, Right.RUNNING),
        ({"state": "past_due", "read_only_at": START}, Right.READ_ONLY),
        ({"state": "past_due", "read_only_at": START, "cancel_at": START}, Right.KEPT),
        ({"state": "active", "read_only_at": START}, Right.RUNNING),
        ({"state": "suspended", "suspended_at": START - 29 * DAY, "suspended_for": "unpaid"}, Right.KEPT),
        ({"state": "suspended", "suspended_at": START - 30 * DAY, "suspended_for": "unpaid"}, Right.NOTHING),
        ({"state": "suspended", "suspended_at": START - 999 * DAY, "suspended_for": "paused"}, Right.KEPT),
        ({"state": "ended"}, Right.NOTHING),
    ],
)
def test_p27_a_right_is_a_function_of_state_and_clock(columns: dict[str, object], right: Right) -> None:
    subscription = Subscription(plan=Plan(retention_days=30), **columns)
    assert entitlement.of(subscription, now=START) == right


# --- P28: recurring revenue ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_p28_what_changed_explains_what_comes_in() -> None:
    sold = shop()
    months = subscribe(sold.bronze)
    subscribe(sold.silver_year, now=START + DAY)
    moments = [START - DAY, START, START + 2 * DAY]
    order = change(months, sold.silver, now=START + 3 * DAY)
    assert order is not None
    pay_and_have(order, now=START + 3 * DAY)
    moments.append(START + 4 * DAY)
    cancel(months, now=START + 5 * DAY, at_once=True)
    moments.append(START + 6 * DAY)
    pay_and_have(renewals.offer(months.pk, now=START + 7 * DAY), now=START + 7 * DAY)
    moments.append(START + 8 * DAY)
    change(months, sold.bronze, now=START + 9 * DAY)
    until = renewal_day(now_of(months))
    run(until - 7 * DAY)
    pay_and_have(waiting(months), now=until - 7 * DAY)
    run(until)
    moments.append(until)

    found = [revenue.recurring(moment).get("EUR", EUR(0)).minor for moment in moments]
    assert found == [0, 3000, 8000, 11000, 5000, 11000, 8000]
    for (before, since), (after, until) in pairwise(zip(found, moments, strict=True)):
        parts = revenue.movements(since, until).get("EUR", {})
        assert sum(amount.minor for amount in parts.values()) == after - before
    active = Subscription.objects.filter(state__in=("active", "past_due")).select_related("price")
    assert sum(revenue.monthly(baskets.of(one)).minor for one in active if one.price) == found[-1]
    kinds = list(RevenueMovement.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["new", "new", "expansion", "churn", "reactivation", "contraction"]
