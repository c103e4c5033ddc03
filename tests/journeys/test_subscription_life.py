"""A paid subscription goes by: announced, paid or not, suspended, back, cancelled; and instances follow (P24, P27)."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
import time_machine

from parcelle.core.money import Money
from parcelle.domain.billing import ledger
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.catalog.models import Product
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning import actions as provisioning
from parcelle.domain.provisioning.models import Instance
from parcelle.journeys import cancellation, change_plan, entitlement
from tests import jobs
from tests.domain.billing.subscribing import DAY, START, Shop, asked, days, pay, shop, subscribe, tick

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def sold() -> Shop:
    return shop()


@pytest.fixture
def subscription(sold: Shop) -> Subscription:
    """Paid for from START on, with a live instance."""
    return with_instance(sold)


def with_instance(sold: Shop) -> Subscription:
    made = subscribe(sold.bronze)
    provisioning.request_instance(
        organization=made.organization,
        subscription_id=made.pk,
        product=made.plan.product,
        slug=made.organization.slug,
        owner={"company": "Diop", "email": "a@example.com", "language": "fr"},
        limits={},
        request_id=uuid.uuid4(),
        actor="test",
        now=START,
    )
    jobs.work_off(START)
    Message.objects.all().delete()
    return made


def instance_of(subscription: Subscription) -> tuple[str, str]:
    instance = Instance.objects.get(subscription_id=subscription.pk)
    return instance.state, instance.reason


def due_of(subscription: Subscription) -> datetime:
    until = Subscription.objects.get(pk=subscription.pk).period_end
    assert until is not None
    return until


def told(since: datetime) -> list[tuple[int, str]]:
    # What is missing for the invoices is asked for by a mail of its own.
    rows = (
        Message.objects.exclude(kind="billing_details").order_by("created_at", "pk").values_list("created_at", "kind")
    )
    return [((at - since) // DAY, kind) for at, kind in rows]


def waiting(subscription: Subscription) -> Order:
    order = asked(subscription)
    assert order is not None
    return order


def test_nobody_pays(subscription: Subscription) -> None:
    due = due_of(subscription)
    tick(days(due, *range(-8, 9), 36, 37, 38))
    assert told(due) == [
        (-7, "renewal_due"),
        (-3, "renewal_due"),
        (-1, "renewal_due"),
        (1, "renewal_overdue"),
        (3, "renewal_overdue"),
        (6, "renewal_overdue"),
        (7, "subscription_suspended"),
        (37, "instance_archived"),
    ]
    assert instance_of(subscription)[0] == "archived"


def test_who_pays_after_the_suspension_is_back_at_once(subscription: Subscription) -> None:
    due = due_of(subscription)
    tick(days(due, -7, 0, 7))
    assert instance_of(subscription) == ("suspended", "unpaid")
    back = due + 9 * DAY
    with time_machine.travel(back, tick=False):
        pay(waiting(subscription), now=back)
    # Nothing but what follows from the payment: not the schedule.
    jobs.work_off(back)
    assert instance_of(subscription) == ("live", "")
    assert due_of(subscription) > back + 27 * DAY
    assert told(due)[-1] == (9, "subscription_renewed")


def test_who_pays_in_time_hears_of_it_once_and_goes_on(subscription: Subscription) -> None:
    due = due_of(subscription)
    tick(days(due, -7))
    with time_machine.travel(due - 5 * DAY, tick=False):
        pay(waiting(subscription), now=due - 5 * DAY)
    for _again in range(2):
        tick(days(due, -5, -3, -1, 0, 1, 7))
    assert told(due) == [(-7, "renewal_due"), (-5, "subscription_renewed")]
    assert instance_of(subscription) == ("live", "")


def test_who_has_credit_is_told_that_it_paid(subscription: Subscription) -> None:
    due = due_of(subscription)
    ledger.keep_as_credit(
        organization_id=subscription.organization_id,
        amount=Money(9900, "EUR"),
        key="gift",
        reference="AV-1",
        now=START,
    )
    tick(days(due, -7))
    mail = Message.objects.get(kind="subscription_renewed")
    assert mail.context["by_credit"] is True


def test_what_an_operator_suspended_only_a_person_resumes(subscription: Subscription) -> None:
    instance = Instance.objects.get(subscription_id=subscription.pk)
    provisioning.change(instance, "suspend", reason="operator", actor="operator", now=START)
    jobs.work_off(START)
    tick(days(START, 1))
    assert instance_of(subscription) == ("suspended", "operator")


@pytest.mark.parametrize(("state", "reason"), [("suspended", "unpaid"), ("suspended", "trial_ended")])
def test_p27_paid_and_not_running_is_repaired(subscription: Subscription, state: str, reason: str) -> None:
    Instance.objects.filter(subscription_id=subscription.pk).update(state=state, reason=reason)
    tick(days(START, 1))
    assert instance_of(subscription) == ("live", "")


@pytest.mark.parametrize("state", ["live", "sleeping"])
def test_p27_running_and_not_entitled_is_repaired(subscription: Subscription, state: str) -> None:
    Instance.objects.filter(subscription_id=subscription.pk).update(state=state)
    Subscription.objects.filter(pk=subscription.pk).update(
        state="suspended", suspended_at=START, suspended_for="unpaid", renews_at=None
    )
    assert entitlement.converge(now=START) == 1
    jobs.work_off(START)
    assert instance_of(subscription) == ("suspended", "unpaid")
    assert entitlement.converge(now=START) == 0


def test_p26_p27_a_blueprint_that_is_gone_keeps_nobody_else_waiting(subscription: Subscription) -> None:
    other = with_instance(shop())
    Product.objects.filter(pk=subscription.plan.product_id).update(blueprint="gone")
    Subscription.objects.filter(pk=subscription.pk).update(state="past_due", read_only_at=START)
    # Comes after the other one in the order in which they are looked at.
    Subscription.objects.filter(pk=other.pk).update(state="suspended", suspended_at=START, suspended_for="unpaid")
    assert entitlement.converge(now=START) == 1
    jobs.work_off(START)
    assert instance_of(other) == ("suspended", "unpaid")


def test_cancelled_kept_and_back(subscription: Subscription) -> None:
    due = due_of(subscription)
    with time_machine.travel(START + DAY, tick=False):
        cancellation.cancel(subscription.pk, at_once=False, reason="", actor="customer", now=START + DAY)
    tick(days(due, -7, -1))
    assert instance_of(subscription)[0] == "live"
    tick(days(due, 0))
    assert instance_of(subscription) == ("suspended", "cancelled")
    order = cancellation.come_back(subscription.pk, now=due + DAY)
    with time_machine.travel(due + DAY, tick=False):
        pay(order, now=due + DAY)
    jobs.work_off(due + DAY)
    assert instance_of(subscription) == ("live", "")
    assert [kind for _day, kind in told(due)] == [
        "subscription_ending",
        "subscription_cancelled",
        "subscription_renewed",
    ]


def test_paused_and_on_again(subscription: Subscription) -> None:
    with time_machine.travel(START + DAY, tick=False):
        cancellation.pause(subscription.pk, actor="customer", now=START + DAY)
    jobs.work_off(START + DAY)
    assert instance_of(subscription) == ("suspended", "paused")
    tick(days(START, 300))
    assert instance_of(subscription) == ("suspended", "paused")
    with time_machine.travel(START + 300 * DAY, tick=False):
        cancellation.go_on(subscription.pk, actor="customer", now=START + 300 * DAY)
    jobs.work_off(START + 300 * DAY)
    assert instance_of(subscription) == ("live", "")


def test_another_plan(subscription: Subscription, sold: Shop) -> None:
    now = START + 5 * DAY
    with time_machine.travel(now, tick=False):
        order = change_plan.change(
            subscription.pk, price_id=sold.silver.pk, request_id=uuid.uuid4(), actor="customer", now=now
        )
        assert order is not None
        pay(order, now=now)
    jobs.work_off(now)
    order.refresh_from_db()
    assert order.state == "fulfilled"
    with time_machine.travel(now + DAY, tick=False):
        down = change_plan.change(
            subscription.pk, price_id=sold.bronze.pk, request_id=uuid.uuid4(), actor="customer", now=now + DAY
        )
    assert down is None
    jobs.work_off(now + DAY)
    assert [kind for _day, kind in told(START)] == ["plan_changed", "plan_change_scheduled"]


def test_half_a_year_of_a_company(subscription: Subscription) -> None:
    """Pays early, late, and after a suspension: what is paid never overlaps, and nothing is said twice."""
    late = {1: 4 * DAY, 3: 10 * DAY}
    paid, now = 0, START
    while now < START + 190 * DAY:
        now += 3 * DAY
        tick([now])
        order = asked(subscription)
        if order is not None and order.due_at is not None and now >= order.due_at + late.get(paid, -3 * DAY):
            with time_machine.travel(now, tick=False):
                pay(order, now=now)
            jobs.work_off(now)
            paid += 1
    rows = list(subscription.orders.filter(state="fulfilled").order_by("period_start"))
    gaps = []
    for before, after in pairwise(rows):
        assert before.period_end is not None and after.period_start is not None
        gaps.append(after.period_start - before.period_end)
    # The one time the instance rested, nothing was paid for it.
    assert sorted(gaps)[:-1] == [timedelta(0)] * (len(gaps) - 1)
    assert timedelta(days=10) <= max(gaps) <= timedelta(days=13)
    assert instance_of(subscription) == ("live", "")
    kinds = Counter(Message.objects.values_list("kind", flat=True))
    assert (kinds["subscription_renewed"], kinds["subscription_suspended"]) == (paid, 1)


def read_only(subscription: Subscription) -> bool:
    return Instance.objects.get(subscription_id=subscription.pk).read_only


def test_p24_who_is_overdue_can_only_read_from_a_day_on_and_changes_things_once_paid(
    subscription: Subscription,
) -> None:
    subscription.plan.dunning = {"read_only": 3}
    subscription.plan.save()
    due = due_of(subscription)
    tick(days(due, *range(-8, 3)))
    assert not read_only(subscription)
    tick(days(due, 3, 4))
    assert read_only(subscription) and instance_of(subscription) == ("live", "")
    assert Message.objects.filter(kind="subscription_read_only").count() == 1
    pay(waiting(subscription), now=due + 4 * DAY)
    jobs.work_off(due + 4 * DAY)
    assert not read_only(subscription)


def test_who_pays_after_a_suspension_can_change_things_as_soon_as_the_instance_is_back(
    subscription: Subscription,
) -> None:
    subscription.plan.dunning = {"read_only": 3}
    subscription.plan.save()
    due = due_of(subscription)
    tick(days(due, *range(-8, 9)))
    assert read_only(subscription) and instance_of(subscription) == ("suspended", "unpaid")
    pay(waiting(subscription), now=due + 9 * DAY)
    jobs.work_off(due + 9 * DAY)
    assert not read_only(subscription) and instance_of(subscription) == ("live", "")


def test_a_blueprint_without_a_way_to_it_passes_the_stage_over(
    subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioning, "can_be_read_only", lambda _instance: False)
    subscription.plan.dunning = {"read_only": 3}
    subscription.plan.save()
    tick(days(due_of(subscription), *range(-8, 5)))
    assert not read_only(subscription)
    assert not Message.objects.filter(kind="subscription_read_only").exists()
    assert Subscription.objects.get(pk=subscription.pk).read_only_at is not None
