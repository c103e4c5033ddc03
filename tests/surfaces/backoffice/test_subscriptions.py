"""Subscriptions in the back office: what the night could not do, what an operator decides, and what recurs."""

from __future__ import annotations

import pytest
import time_machine
from django.test import Client

from parcelle.domain.billing import renewals, subscriptions
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.catalog.models import Plan
from parcelle.journeys import renewal
from tests import jobs
from tests.domain.billing.subscribing import DAY, START, arrive, asked, begin, run, shop, subscribe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
PAGES = "/admin/billing/subscription/"
LATER = START + 22 * DAY


def page(subscription: Subscription, verb: str = "change") -> str:
    return f"{PAGES}{subscription.pk}/{verb}/"


def offered(client: Client, subscription: Subscription) -> set[str]:
    html = client.get(page(subscription)).content.decode()
    return {verb for verb in ("again", "cancel", "cancel-now") if page(subscription, verb) in html}


@pytest.fixture
def poisoned() -> Subscription:
    """One that cannot be renewed: its next plan has reminders that nobody can read."""
    sold = shop()
    made = subscribe(sold.bronze)
    Plan.objects.filter(pk=sold.silver.plan_id).update(dunning={"grace": "poisoned"})
    Subscription.objects.filter(pk=made.pk).update(next_price=sold.silver)
    renewal.run(now=LATER)
    return Subscription.objects.get(pk=made.pk)


def test_p26_what_could_not_be_renewed_is_work_to_do_and_says_why(operator: Client, poisoned: Subscription) -> None:
    assert "Subscriptions that could not be renewed" in operator.get("/admin/").content.decode()
    listed = operator.get(f"{PAGES}?problem=yes").content.decode()
    assert poisoned.organization.name in listed
    assert "grace is a number of days" in operator.get(page(poisoned)).content.decode()
    assert offered(operator, poisoned) == {"again", "cancel", "cancel-now"}
    assert "&lt;span" not in operator.get(page(poisoned)).content.decode()


def test_it_is_tried_again_at_once(operator: Client, poisoned: Subscription) -> None:
    with time_machine.travel(LATER, tick=False):
        operator.post(page(poisoned, "again"), {"confirmed": "again"})
        assert asked(poisoned) is None and "grace" in Subscription.objects.get(pk=poisoned.pk).problem
        Plan.objects.update(dunning={})
        operator.post(page(poisoned, "again"), {"confirmed": "again"})
    assert asked(poisoned) is not None
    assert Subscription.objects.get(pk=poisoned.pk).problem == ""


@pytest.mark.parametrize(("verb", "state"), [("cancel", "active"), ("cancel-now", "suspended")])
def test_an_operator_cancels_with_a_reason(operator: Client, verb: str, state: str) -> None:
    subscription = subscribe(shop().bronze)
    confirmed = verb.replace("-", "_")
    with time_machine.travel(START + DAY, tick=False):
        operator.post(page(subscription, verb), {"confirmed": confirmed})
        assert Subscription.objects.get(pk=subscription.pk).cancel_at is None
        operator.post(page(subscription, verb), {"confirmed": confirmed, "reason": "asked by telephone"})
    after = Subscription.objects.get(pk=subscription.pk)
    assert (after.state, after.cancel_reason) == (state, "asked by telephone")
    assert after.cancel_at == (after.period_end if verb == "cancel" else START + DAY)


def test_who_only_reads_decides_nothing(reader: Client, poisoned: Subscription) -> None:
    assert offered(reader, poisoned) == set()
    reader.post(page(poisoned, "cancel-now"), {"confirmed": "cancel_now", "reason": "x"})
    assert Subscription.objects.get(pk=poisoned.pk).state == "active"


def test_money_that_came_too_late_is_work_to_do_and_told(operator: Client) -> None:
    subscription = subscribe(shop().bronze)
    now = START + 28 * DAY
    run(now)
    order = asked(subscription)
    assert order is not None
    payment = begin(order, now=now)
    subscriptions.end(subscription.pk, reason="operator", now=now)
    with time_machine.travel(now + DAY, tick=False):
        arrive(payment, now=now + DAY)
        renewals.fulfil(order.pk, now=now + DAY)
        jobs.work_off(now + DAY)
    with time_machine.travel(now + 2 * DAY, tick=False):
        assert "Paid when nothing was left to renew" in operator.get("/admin/").content.decode()
        assert order.number in operator.get("/admin/billing/order/?work=too_late").content.decode()
        listed = operator.get("/admin/notifications/message/").content.decode()
        assert "Payment that came too late" in listed
        Order.objects.get(pk=order.pk).payments.update(state="refunded")
        assert "Paid when nothing was left to renew" not in operator.get("/admin/").content.decode()


def test_p28_the_page_of_recurring_revenue(operator: Client) -> None:
    sold = shop()
    subscribe(sold.silver_year)
    left = subscribe(sold.bronze)
    subscriptions.cancel(left.pk, at_once=True, reason="", actor="customer", now=START + 30 * DAY)
    with time_machine.travel(START + 31 * DAY, tick=False):
        html = operator.get(f"{PAGES}recurring-revenue/").content.decode()
    assert "January 2026" in html and "March 2026" in html
    assert [amount in html for amount in ("€80.00", "\N{MINUS SIGN}€30.00", "€50.00")] == [True] * 3


def test_p28_nothing_recurs_yet(operator: Client) -> None:
    assert "Nothing recurs yet" in operator.get(f"{PAGES}recurring-revenue/").content.decode()
