"""An order that somebody left open: one mail, once, with a link that leads back; and when there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape

import pytest
import time_machine
from django.test import Client
from pytest_django import Settings

from parcelle.core.models import Fact
from parcelle.domain.billing import orders, payments
from parcelle.domain.billing.gateways.base import Declined, GatewayError
from parcelle.domain.billing.models import Order, Payment
from parcelle.domain.catalog.models import Price
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.notifications.models import Message
from parcelle.journeys import checkout, open_orders
from tests import jobs
from tests.domain.billing.selling import AWA, attempt, click, look, open_shop, order
from tests.people import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
DUE = NOW + orders.REMIND_AFTER


@pytest.fixture
def price() -> Price:
    return open_shop()


def sweep(now: datetime = DUE) -> int:
    """How many mails there are after everything that is due was done, twice."""
    for _time in range(2):
        checkout.run(now=now)
        jobs.work_off(now)
    return Message.objects.filter(kind="order_open").count()


def test_who_left_an_order_open_is_reminded_once(price: Price) -> None:
    order(price)
    assert sweep(DUE - timedelta(seconds=1)) == 0
    assert [sweep(DUE + timedelta(days=days)) for days in (0, 1, 5, 12)] == [1, 1, 1, 1]
    for fact in Fact.objects.filter(name="OrderLeftOpen"):
        open_orders.remind(fact)
    assert Message.objects.get().to == AWA.email


def test_however_late_the_sweep_is(price: Price) -> None:
    placed = order(price)
    assert sweep(placed.expires_at - orders.REMIND_BEFORE_END - timedelta(minutes=1)) == 1


def test_not_on_the_last_day_and_not_after_it(price: Price) -> None:
    placed = order(price)
    assert sweep(placed.expires_at - orders.REMIND_BEFORE_END) == 0
    assert sweep(placed.expires_at) == 0
    placed.refresh_from_db()
    assert placed.state == "expired"


def paid(placed: Order) -> None:
    payment = attempt(placed)
    click(payment, "approved")
    look(payment)


def unknown(placed: Order) -> None:
    payment = payments.begin(placed.pk, gateway="fake", details={}, now=NOW)
    payments._record_error(payment, GatewayError("silence", unknown=True), unknown=True, now=NOW)
    Payment.objects.update(look_at=None)


def transfer(placed: Order) -> None:
    """An attempt with no page to go on with: the customer has been told what to do, and banks take days."""
    Payment.objects.filter(pk=attempt(placed).pk).update(memo={}, look_at=None)


def ordered_again(placed: Order) -> None:
    orders.place(
        request_id=Order().pk,
        price_id=placed.price_id,
        coupon_code="",
        buyer=AWA,
        language="fr",
        now=NOW + timedelta(minutes=30),
    )


@pytest.mark.parametrize("what", [paid, unknown, transfer])
def test_not_when_it_is_paid_or_money_may_be_on_its_way(price: Price, what: Callable[[Order], None]) -> None:
    what(order(price))
    assert sweep() == 0


def test_of_two_orders_only_the_newer_is_mailed_about(price: Price) -> None:
    ordered_again(order(price))
    assert sweep(DUE + timedelta(hours=1)) == 1
    assert Fact.objects.filter(name="OrderLeftOpen").count() == 1


def test_a_page_closed_half_way_and_a_declined_card_are_what_it_is_for(price: Price) -> None:
    attempt(order(price))
    payments.record(attempt(order(price, buyer=replace(AWA, email="b@x.fr"))).pk, Declined(code="declined"), now=NOW)
    assert sweep() == 2


def test_paid_between_the_fact_and_the_mail(price: Price) -> None:
    placed = order(price)
    assert orders.remind(placed.pk, now=DUE)
    paid(placed)
    jobs.work_off(DUE)
    assert not Message.objects.filter(kind="order_open").exists()


@pytest.mark.parametrize(
    ("language", "hello", "amount"), [("fr", "Bonjour Awa", "58,80\xa0€"), ("en", "Hello Awa", "€58.80")]
)
def test_the_mail_leads_back_to_the_order(
    price: Price, settings: Settings, language: str, hello: str, amount: str
) -> None:
    settings.PUBLIC_URL = "https://shop.example.com"
    placed = order(price)
    Order.objects.update(language=language)
    sweep()
    mail = notifications.render(Message.objects.get())
    text, html = str(mail.body), unescape(str(mail.alternatives[0][0]))
    for part in (text, html):
        assert hello in part
        assert amount in part
        assert placed.number in part
        assert "None" not in part
        link = re.search(r"https://shop\.example\.com(/orders/resume/[\w:-]+)", part)
        assert link
        with time_machine.travel(DUE + timedelta(days=10), tick=False):
            assert Client().get(link[1])["Location"] == f"/orders/{placed.pk}"
    assert mail.subject == (
        "Votre commande Plain vous attend" if language == "fr" else "Your Plain order is waiting for you"
    )


def test_a_name_that_is_an_advertisement_is_not_sent_to_strangers(price: Price) -> None:
    order(price, buyer=replace(AWA, first_name="Win at casino.example"))
    sweep()
    assert "casino" not in str(notifications.render(Message.objects.get()).body)
