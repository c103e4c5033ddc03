"""An order left open, or left after a declined payment: one mail that leads back; and when there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape

import pytest
import time_machine
from django.template.loader import render_to_string
from django.test import Client
from django.utils import translation
from pytest_django import Settings

from parcelle.core.models import Fact
from parcelle.domain.billing import orders, payments, transfers
from parcelle.domain.billing.gateways.base import Declined, GatewayError
from parcelle.domain.billing.models import Order, Payment
from parcelle.domain.catalog.models import Price
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.notifications.models import Message
from parcelle.journeys import checkout, open_orders
from parcelle.surfaces.refusals import DECLINES
from tests import jobs
from tests.domain.billing.selling import AWA, attempt, click, look, open_shop, order
from tests.domain.billing.transferring import expected
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


def test_a_page_closed_half_way_is_what_it_is_for(price: Price) -> None:
    attempt(order(price))
    assert sweep() == 1


def declined(placed: Order, *, code: str = "not_approved_in_time", now: datetime = NOW) -> Payment:
    payment = payments.begin(placed.pk, gateway="fake", details={}, now=now)
    payments.record(payment.pk, Declined(code=code), now=now)
    return payment


def told(now: datetime) -> int:
    """How many mails about declined payments there are after everything that is due was done, twice."""
    sweep(now)
    for fact in Fact.objects.filter(name="PaymentLeftDeclined"):
        open_orders.tell_declined(fact)
    return Message.objects.filter(kind="payment_declined").count()


TOLD = NOW + payments.TELL_AFTER


def test_who_left_after_a_declined_payment_is_told_once_and_not_reminded_as_well(price: Price) -> None:
    declined(order(price))
    assert [told(TOLD - timedelta(seconds=1)), told(TOLD), told(DUE), told(DUE + timedelta(days=3))] == [0, 1, 1, 1]
    assert not Message.objects.filter(kind="order_open").exists()


def test_who_tries_again_is_told_only_about_the_last_attempt(price: Price) -> None:
    placed = order(price)
    declined(placed)
    last = declined(placed, code="no_wallet", now=TOLD - timedelta(minutes=1))
    assert told(TOLD) == 0
    assert told(TOLD + payments.TELL_AFTER) == 1
    assert Message.objects.get().key == f"payment-declined:{last.pk}"


def test_and_once_more_about_what_they_try_after_the_mail(price: Price) -> None:
    placed = order(price)
    declined(placed)
    assert told(TOLD) == 1
    declined(placed, now=TOLD + timedelta(hours=1))
    assert told(TOLD + timedelta(hours=2)) == 2


def test_not_who_has_paid_or_pays_just_now(price: Price) -> None:
    for email, act in (("a@x.fr", paid), ("b@x.fr", attempt)):
        placed = order(price, buyer=replace(AWA, email=email))
        declined(placed, now=NOW - timedelta(seconds=1))
        act(placed)
    assert told(TOLD) == 0


def test_nor_when_nobody_looked_for_a_day(price: Price) -> None:
    declined(order(price))
    assert told(NOW + payments.TELL_WITHIN) == 0


@pytest.mark.parametrize("code", [*DECLINES, "not_received", "recalled", "not_accepted"])
def test_every_reason_is_told_in_plain_words_of_both_languages(code: str) -> None:
    said = {}
    for language in ("fr", "en"):
        with translation.override(language):
            said[language] = render_to_string("notifications/payment_reason.txt", {"reason": code}).strip()
            usual = render_to_string("notifications/payment_reason.txt", {"reason": "declined"}).strip()
        assert (said[language] == usual) == (code in {"declined", "expired"})
    assert said["fr"] != said["en"]


@pytest.mark.parametrize(
    ("language", "sentence"),
    [("fr", "Votre paiement de 58,80\xa0€ pour Plain"), ("en", "Your payment of €58.80 for Plain")],
)
def test_the_mail_about_a_declined_payment_leads_back_too(price: Price, language: str, sentence: str) -> None:
    placed = order(price)
    declined(placed)
    Order.objects.update(language=language)
    told(TOLD)
    mail = notifications.render(Message.objects.get())
    for part in (str(mail.body), unescape(str(mail.alternatives[0][0]))):
        assert sentence in part
        assert placed.number in part
        assert "/orders/resume/" in part
        assert "None" not in part


def test_a_transfer_that_is_given_up_says_what_the_operator_wrote() -> None:
    transfer = expected()
    transfers.refuse(transfer.pk, reason="not_received", text="Rien sur <notre> compte.", actor="user:x", now=NOW)
    assert told(TOLD) == 1
    mail = notifications.render(Message.objects.get(kind="payment_declined"))
    assert "Le virement n’est pas arrivé. Rien sur <notre> compte.\n" in str(mail.body)
    assert "Rien sur &lt;notre&gt; compte." in str(mail.alternatives[0][0])


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
