"""The calendar is played ahead by the real verbs, and nothing of it is left."""

from __future__ import annotations

import pytest
from django.db.models import Model
from procrastinate.contrib.django.models import ProcrastinateJob

from parcelle.core.models import Fact, Reaction
from parcelle.domain.billing.models import Invoice, Order, Subscription
from parcelle.domain.catalog.models import Plan
from parcelle.domain.notifications.models import Message
from parcelle.journeys import rehearsal
from parcelle.journeys.rehearsal import Document
from tests.domain.billing.subscribing import DAY, START, days, pay_and_have, run, shop, subscribe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
TABLES: list[type[Model]] = [Fact, Reaction, ProcrastinateJob, Message, Invoice, Order]


def played(*, paid: bool = True, until: int = 100) -> list[Document]:
    return list(rehearsal.play(now=START, until=START + until * DAY, paid=paid))


def test_everybody_pays_and_nothing_is_left() -> None:
    subscription = subscribe(shop().bronze)
    before = [table._default_manager.count() for table in TABLES]
    found = played()
    assert [table._default_manager.count() for table in TABLES] == before
    after = Subscription.objects.get(pk=subscription.pk)
    assert (after.period_end, after.renews_at) == (subscription.period_end, subscription.renews_at)
    invoices = [one for one in found if one.kind == "invoice"]
    assert [f"{one.at:%m-%d}" for one in invoices] == ["02-28", "03-31", "04-30"]
    assert {str(one.total) for one in invoices} == {"36.00 EUR"}
    assert found == played()


def test_it_says_what_the_real_calendar_then_makes() -> None:
    subscription = subscribe(shop().bronze)
    foretold = [(one.begins, one.ends, one.total) for one in played(until=365) if one.kind == "invoice"]
    for day in days(START, *range(1, 366)):
        run(day)
        for order in subscription.orders.filter(state="open", kind="renewal", due_at__lte=day):
            pay_and_have(order, now=day)
    rows = subscription.orders.filter(state="fulfilled", kind="renewal").order_by("period_start")
    assert foretold == [(row.period_start, row.period_end, row.total) for row in rows]


def test_nobody_pays() -> None:
    subscribe(shop().bronze)
    found = [(f"{one.at:%m-%d}", one.kind, one.detail) for one in played(paid=False)]
    assert found == [
        ("02-21", "asked", ""),
        ("02-21", "reminder", "-7"),
        ("02-25", "reminder", "-3"),
        ("02-27", "reminder", "-1"),
        ("03-01", "reminder", "1"),
        ("03-03", "reminder", "3"),
        ("03-06", "reminder", "6"),
        ("03-07", "suspended", "unpaid"),
        ("04-06", "archived", ""),
    ]


def test_one_who_cannot_be_played_is_a_line_and_stops_nobody() -> None:
    sold = shop()
    bad, _good = subscribe(sold.bronze), subscribe(sold.bronze)
    Plan.objects.filter(pk=sold.silver.plan_id).update(dunning={"grace": "poisoned"})
    Subscription.objects.filter(pk=bad.pk).update(next_price=sold.silver)
    found = played()
    assert [one.kind for one in found].count("invoice") == 3
    (problem,) = (one for one in found if one.kind == "problem")
    assert "grace is a number of days" in problem.detail
