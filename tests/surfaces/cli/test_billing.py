"""`parcelle billing …`"""

from __future__ import annotations

import pytest
import time_machine

from parcelle.core.money import Money
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.catalog import actions as catalog
from parcelle.domain.catalog.models import Plan
from tests.domain.billing.subscribing import DAY, START, shop, subscribe
from tests.surfaces.cli.typing_it import type_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
LATER = START + 23 * DAY


def test_what_is_due_is_done_once() -> None:
    subscribe(shop().bronze)
    with time_machine.travel(LATER, tick=False):
        early = type_in("billing", "run", "--date", "2026-02-20", "--json").json
        done = type_in("billing", "run", "--date", "2026-02-22", "--json").json
        again = type_in("billing", "run")
    assert (early["asked"], done["asked"], done["stepped"], done["problems"]) == (0, 1, 1, [])
    assert "asked: 0" in again.out
    assert Order.objects.filter(kind="renewal").count() == 1


def test_a_day_to_come_is_not_run() -> None:
    with time_machine.travel(LATER, tick=False):
        refused = type_in("billing", "run", "--date", "2026-02-24")
    assert refused.code == 1 and "simulate --until 2026-02-24" in refused.err


def test_p26_a_failure_is_said_and_the_others_are_done() -> None:
    sold = shop()
    bad, _good = subscribe(sold.bronze), subscribe(sold.bronze)
    Plan.objects.filter(pk=sold.silver.plan_id).update(dunning={"grace": "poisoned"})
    Subscription.objects.filter(pk=bad.pk).update(next_price=sold.silver)
    with time_machine.travel(LATER, tick=False):
        done = type_in("billing", "run")
    assert done.code == 1
    assert "asked: 1" in done.out and "failed: 1" in done.out
    assert bad.organization.name in done.err and "grace is a number of days" in done.err


def test_the_calendar_is_played_ahead() -> None:
    subscription = subscribe(shop().bronze)
    slug = subscription.organization.slug
    with time_machine.travel(START, tick=False):
        found = type_in("billing", "simulate", "--until", "2026-04-30", "--json").json
        text = type_in("billing", "simulate", "--until", "2026-04-30", "--customer", slug).out
        unpaid = type_in("billing", "simulate", "--until", "2026-04-30", "--unpaid", "--json").json
        past = type_in("billing", "simulate", "--until", "2026-01-30")
    assert [(one["kind"], one["total"]) for one in found if one["kind"] == "invoice"] == [("invoice", "36.00 EUR")] * 3
    assert "3 invoices, 108.00 EUR in all" in text and "2026-02-28 – 2026-03-31" in text
    assert "suspended" in {one["kind"] for one in unpaid}
    assert past.code == 1 and "is over" in past.err
    assert not Order.objects.filter(kind="renewal").exists()


def test_customers_of_an_earlier_price_are_told_of_the_present_one() -> None:
    sold = shop()
    subscribe(sold.bronze)
    catalog.set_price(sold.bronze.plan_id, interval="month", amount=Money(4000, "EUR"), now=START)
    plan = f"{sold.bronze.plan.product.slug}/Bronze"
    with time_machine.travel(START, tick=False):
        done = type_in("billing", "reprice", plan, "month", "EUR", "--notice", "60")
        again = type_in("billing", "reprice", plan, "month", "EUR")
        unknown = type_in("billing", "reprice", plan, "month", "XAF")
    assert "30.00 EUR becomes 40.00 EUR for periods from 2026-04-01 on" in done.out
    assert "no earlier price" in again.out
    assert unknown.code == 1 and "has no price" in unknown.err
