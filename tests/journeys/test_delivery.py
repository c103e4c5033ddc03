"""A paid order whose space cannot be created: tried again, handed to a human, and the customer told the truth."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.test import Client

from parcelle.core import events
from parcelle.core.models import Fact
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.catalog.models import Coupon, Price, Product
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning import actions as provisioning
from parcelle.domain.provisioning.models import Instance, Operation, Target
from parcelle.journeys import delivery, signup
from tests import jobs, mails
from tests.domain.billing import selling
from tests.domain.billing.selling import LATER
from tests.people import NOW, Cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def price(cast: Cast) -> Price:
    return selling.open_shop(plan=cast.plan)


def break_target() -> None:
    """What is asked for there fails at once."""
    Target.objects.update(provider="gone")


def mend_target() -> None:
    Target.objects.update(provider="null")


def paid(price: Price) -> Order:
    payment = selling.attempt(selling.order(price))
    selling.click(payment, "approved")
    selling.look(payment)
    return payment.order


def paid_in_vain(price: Price) -> Order:
    """Paid and asked for, but the target breaks before the space is created."""
    order = paid(price)
    for fact in Fact.objects.filter(name="OrderPaid"):
        for reaction in events._reactions["OrderPaid"]:
            events.run_reaction(fact_id=fact.pk, function=reaction)
    break_target()
    jobs.work_off(LATER)
    order.refresh_from_db()
    assert Instance.objects.get().state == "failed"
    return order


def kinds() -> list[str]:
    # What is missing for the invoices is asked for by a mail of its own.
    return sorted(Message.objects.exclude(kind="billing_details").values_list("kind", flat=True))


def run_until(now: datetime, *, broken: bool = True) -> datetime:
    """The schedule asks every minute; nothing happens in between."""
    mend_target()
    delivery.run(now=now)
    if broken:
        break_target()
    jobs.work_off(now)
    return now


# --- the receipt ----------------------------------------------------------------------------------------


def test_the_receipt_says_what_was_paid_for_in_both_forms(price: Price) -> None:
    Coupon.objects.create(code="TEN", percent=10)
    placed = selling.order(price, coupon=Coupon.objects.get())
    payment = selling.attempt(placed)
    selling.click(payment, "approved")
    selling.look(payment)
    jobs.work_off(LATER)
    [receipt] = [sent for sent in mail.outbox if placed.number in sent.subject]
    assert receipt.subject == f"Votre paiement est arrivé\xa0: commande {placed.number}"
    assert receipt.to == ["awa@example.com"]
    html = mails.html(receipt)
    for part in (str(receipt.body), html):
        for said in (
            "49,00\xa0€",
            "\N{MINUS SIGN}4,90\xa0€",
            "8,82\xa0€",
            "52,92\xa0€",
            "TEN",
            payment.number,
            "/orders/resume/",
        ):
            assert said in part, said
    assert kinds() == ["order_paid", "welcome"]


def test_a_receipt_is_written_once_however_often_it_is_asked_for(price: Price) -> None:
    paid(price)
    jobs.work_off(LATER)
    fact = Fact.objects.get(name="OrderPaid")
    for _time in range(3):
        for reaction in events._reactions["OrderPaid"]:
            events.run_reaction(fact_id=fact.pk, function=reaction)
    jobs.work_off(LATER)
    assert kinds() == ["order_paid", "welcome"]
    assert Subscription.objects.count() == Instance.objects.count() == 1


def test_the_link_in_the_receipt_leads_to_the_order(price: Price, client: Client) -> None:
    paid(price)
    jobs.work_off(LATER)
    [receipt] = [sent for sent in mail.outbox if "/orders/resume/" in sent.body]
    path = next(word for word in str(receipt.body).split() if "/orders/resume/" in word).partition("/orders/")[2]
    with time_machine.travel(LATER):
        response = client.get(f"/orders/{path}", follow=True)
    assert response.status_code == 200


def test_a_paid_customer_is_not_told_of_a_trial(price: Price) -> None:
    paid(price)
    jobs.work_off(LATER)
    [welcome] = [sent for sent in mail.outbox if "/orders/resume/" not in sent.body and "/billing/" not in sent.body]
    assert "essai" not in str(welcome.body).lower()


# --- what could not be created --------------------------------------------------------------------------


def test_it_is_tried_again_with_growing_pauses_and_then_handed_over(price: Price) -> None:
    order = paid_in_vain(price)
    now = LATER
    for count, pause in enumerate(delivery.PAUSES, start=1):
        [trouble] = delivery.troubles(now)
        assert (trouble.order, trouble.failures, trouble.again_at) == (order, count, now + pause)
        assert delivery.run(now=now + pause - timedelta(seconds=1)) == 0
        now = run_until(now + pause)
        assert Operation.objects.filter(kind="create", state="failed").count() == count + 1
    [trouble] = delivery.troubles(now)
    assert (trouble.failures, trouble.again_at) == (len(delivery.PAUSES) + 1, None)
    mend_target()
    assert delivery.run(now=now + timedelta(days=3)) == 0
    assert kinds() == ["delivery_by_hand", "delivery_delayed", "order_paid"]


def test_the_first_try_that_succeeds_ends_it(price: Price) -> None:
    order = paid_in_vain(price)
    run_until(LATER + delivery.PAUSES[0], broken=False)
    assert Instance.objects.get().state == "live"
    assert delivery.troubles(LATER + timedelta(days=1)) == []
    assert kinds() == ["delivery_delayed", "order_paid", "welcome"]
    assert (order.state, Instance.objects.count(), Subscription.objects.count()) == ("fulfilled", 1, 1)


def test_running_twice_tries_once(price: Price) -> None:
    paid_in_vain(price)
    mend_target()
    due = LATER + delivery.PAUSES[0]
    assert (delivery.run(now=due), delivery.run(now=due)) == (1, 0)
    assert Operation.objects.filter(kind="create").count() == 2


def test_after_a_long_silence_it_is_tried_once_and_not_for_every_pause(price: Price) -> None:
    paid_in_vain(price)
    later = LATER + timedelta(days=30)
    run_until(later)
    assert Operation.objects.filter(kind="create").count() == 2
    assert delivery.troubles(later)[0].again_at == later + delivery.PAUSES[1]


def test_who_tries_by_hand_is_not_tried_again_meanwhile(price: Price) -> None:
    paid_in_vain(price)
    instance = Instance.objects.get()
    mend_target()
    signup.retry(instance.pk, actor="visitor", now=LATER)
    assert delivery.trouble_of(instance.pk) is None
    assert delivery.run(now=LATER + timedelta(hours=1)) == 0


def test_a_trial_is_told_to_try_again_and_left_alone(cast: Cast) -> None:
    from tests import people

    people.requested_instance(cast.organization, cast.plan)
    break_target()
    jobs.work_off(NOW)
    assert kinds() == ["creation_failed"]
    assert delivery.troubles(NOW) == []
    assert delivery.run(now=NOW + timedelta(days=1)) == 0


@pytest.mark.parametrize(("language", "words"), [("fr", "Nous réessayons"), ("en", "We are trying again")])
def test_the_customer_reads_the_truth_in_their_language(price: Price, language: str, words: str) -> None:
    order = paid(price)
    Order.objects.update(language=language)
    for reaction in events._reactions["OrderPaid"]:
        events.run_reaction(fact_id=Fact.objects.get(name="OrderPaid").pk, function=reaction)
    break_target()
    jobs.work_off(LATER)
    [told] = [sent for sent in mail.outbox if order.number in sent.body and words in sent.body]
    assert words in mails.html(told)


def test_an_order_whose_space_cannot_even_be_asked_for_is_shown_and_told(price: Price) -> None:
    order = paid(price)
    Target.objects.update(enabled=False)
    assert delivery.troubles(LATER) == []
    late = LATER + delivery.SLOW
    [trouble] = delivery.troubles(late)
    assert (trouble.order, trouble.failures, trouble.again_at, trouble.instance) == (order, 0, None, None)
    delivery.run(now=late)
    delivery.run(now=late)
    assert kinds() == ["delivery_delayed"]


def test_what_cannot_even_be_tried_is_the_operators(price: Price) -> None:
    paid_in_vain(price)
    late = LATER + delivery.PAUSES[0] + delivery.SLOW
    assert delivery.run(now=late) == 0
    [trouble] = delivery.troubles(late)
    assert (trouble.failures, trouble.needs_human(late)) == (1, True)
    assert "delivery_by_hand" in kinds()


def test_one_that_breaks_does_not_stop_the_others(price: Price, monkeypatch: pytest.MonkeyPatch) -> None:
    paid_in_vain(price)
    first = Instance.objects.get()
    mend_target()
    Product.objects.update(target_name="nowhere")
    second = selling.attempt(selling.order(price, buyer=selling.AWA))
    selling.click(second, "approved")
    selling.look(second)
    retry = provisioning.retry_creation

    def broken(instance: Instance, **arguments: Any) -> None:
        if instance.pk == first.pk:
            raise RuntimeError("broken")
        retry(instance, **arguments)

    monkeypatch.setattr(provisioning, "retry_creation", broken)
    assert delivery.run(now=LATER + timedelta(hours=1)) == 0


# --- where it is seen -----------------------------------------------------------------------------------


def test_the_page_of_the_space_says_when_it_is_tried_again(price: Price, client: Client, cast: Cast) -> None:
    order = paid_in_vain(price)
    assert order.organization is not None
    with time_machine.travel(LATER):
        client.force_login(order.organization.memberships.get().user)
        page = client.get(f"/deployments/{order.instance_id}").content.decode()
    assert "Votre paiement est bien arrivé" in page
    assert "Nous réessayons de nous-mêmes à" in page
    assert "Réessayer maintenant" in page
    assert "data-finished" not in page
    now = LATER
    for pause in delivery.PAUSES:
        now = run_until(now + pause)
    with time_machine.travel(now):
        page = client.get(f"/deployments/{order.instance_id}").content.decode()
    assert "Notre équipe a pris le relais" in page
    assert "data-finished" in page


def test_the_page_of_the_order_says_that_it_takes_longer(price: Price, client: Client) -> None:
    from parcelle.domain.billing import order_links

    order = paid(price)
    path = order_links.link_of(order.pk).partition("/orders/")[2]
    page = client.get(f"/orders/{path}", follow=True).content.decode()
    assert "nous vous écrirons" in page and "Nous continuons d’essayer" in page
    Order.objects.update(paid_at=datetime.now(tz=NOW.tzinfo))
    assert "Nous continuons d’essayer" not in client.get(f"/orders/{order.pk}").content.decode()


def test_the_operator_sees_who_paid_and_has_nothing(price: Price, client: Client, cast: Cast) -> None:
    client.force_login(cast.operator)
    assert "Payé, et sans espace" not in client.get("/admin/").content.decode()
    order = paid_in_vain(price)
    home = client.get("/admin/").context
    assert home["undelivered"]["total"] == 1
    assert [str(line.note) for line in home["undelivered"]["lines"]] == [order.number]
    now = LATER
    for pause in delivery.PAUSES:
        now = run_until(now + pause)
    assert client.get("/admin/").context["undelivered"]["by_hand"] == 1
