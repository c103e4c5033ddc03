"""`/subscriptions/<id>`: everything a customer can do with what they have, and nothing for strangers."""

from __future__ import annotations

import uuid

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from parcelle.domain.accounts.models import User
from parcelle.domain.billing.models import Order, SavedMethod, Subscription
from parcelle.domain.tenancy.models import Membership
from parcelle.domain.tenancy.queries import owner_of
from tests import people
from tests.domain.billing.subscribing import DAY, START, Shop, add_on, asked, pay_and_have, run, shop, subscribe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def sold() -> Shop:
    return shop()


@pytest.fixture
def subscription(sold: Shop) -> Subscription:
    return subscribe(sold.bronze)


@pytest.fixture
def owner(client: Client, subscription: Subscription) -> Client:
    client.force_login(owner_of(subscription.organization_id))
    return client


def page(subscription: Subscription, verb: str = "") -> str:
    if verb:
        return reverse("subscription_act", args=[subscription.pk, verb])
    return reverse("subscription", args=[subscription.pk])


def post(owner: Client, subscription: Subscription, verb: str, **typed: str) -> Subscription:
    with time_machine.travel(START + DAY, tick=False):
        assert owner.post(page(subscription, verb), typed).status_code == 302
    return Subscription.objects.get(pk=subscription.pk)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_page_says_what_is_paid_and_what_else_there_is(
    owner: Client, subscription: Subscription, language: str
) -> None:
    with time_machine.travel(START + DAY, tick=False):
        text = owner.get(page(subscription), headers={"Accept-Language": language}).content.decode()
    assert ("28 février 2026" if language == "fr" else "28 February 2026") in text
    assert text.count("Silver") >= 2 and "Bronze" in text


def test_a_step_up_leads_to_its_order(owner: Client, subscription: Subscription, sold: Shop) -> None:
    with time_machine.travel(START + DAY, tick=False):
        typed = {"price": str(sold.silver.pk), "request": str(uuid.uuid4())}
        answer = owner.post(page(subscription, "change"), typed)
    order = Order.objects.get(kind=Order.CHANGE)
    assert answer["Location"] == reverse("order", args=[order.pk])


def test_the_order_of_a_paid_step_up_stays_where_it_is(owner: Client, subscription: Subscription, sold: Shop) -> None:
    post(owner, subscription, "change", price=str(sold.silver.pk), request=str(uuid.uuid4()))
    order = Order.objects.get(kind=Order.CHANGE)
    pay_and_have(order, now=START + DAY)
    text = owner.get(reverse("order", args=[order.pk])).content.decode()
    assert "data-finished" in text
    # Either would ask for this page again and again.
    assert "data-go" not in text and "refresh" not in text


def test_leaving_and_staying_after_all(owner: Client, subscription: Subscription) -> None:
    left = post(owner, subscription, "cancel", when="period_end", reason="too\n dear")
    assert (left.cancel_at, left.cancel_reason) == (left.period_end, "too dear")
    assert post(owner, subscription, "take-back").cancel_at is None


def test_leaving_now_and_coming_back(owner: Client, subscription: Subscription) -> None:
    assert post(owner, subscription, "cancel", when="now").state == "suspended"
    post(owner, subscription, "come-back")
    assert asked(subscription) is not None
    with time_machine.travel(START + DAY, tick=False):
        assert owner.get(page(subscription)).status_code == 200


def test_pausing_and_going_on(owner: Client, subscription: Subscription) -> None:
    assert post(owner, subscription, "pause").suspended_for == "paused"
    with time_machine.travel(START + DAY, tick=False):
        assert owner.get(page(subscription)).status_code == 200
    assert post(owner, subscription, "go-on").state == "active"


def test_what_is_not_possible_says_why(owner: Client, subscription: Subscription) -> None:
    with time_machine.travel(START + DAY, tick=False):
        answer = owner.post(page(subscription, "go-on"), follow=True, headers={"Accept-Language": "en"})
    assert "not possible any more" in answer.content.decode()


def test_the_next_period_can_be_paid_from_the_page(owner: Client, subscription: Subscription) -> None:
    run(START + 22 * DAY)
    order = asked(subscription)
    assert order is not None
    with time_machine.travel(START + 22 * DAY, tick=False):
        for where in (page(subscription), reverse("billing")):
            assert reverse("order", args=[order.pk]) in owner.get(where).content.decode()
    run(START + 29 * DAY)
    with time_machine.travel(START + 29 * DAY, tick=False):
        late = owner.get(page(subscription), headers={"Accept-Language": "en"}).content.decode()
    assert "is not paid yet" in late and "Paid until" not in late


@pytest.mark.parametrize("verb", ["change", "add-ons", "cancel", "take-back", "pause", "go-on", "come-back"])
def test_neither_strangers_nor_mere_members_change_anything(
    client: Client, subscription: Subscription, verb: str
) -> None:
    stranger, viewer = User.objects.create_user("s@example.com"), User.objects.create_user("v@example.com")
    Membership.objects.create(
        organization=subscription.organization, user=viewer, role=Membership.VIEWER, created_at=START
    )
    client.force_login(stranger)
    assert client.get(page(subscription)).status_code == 404
    assert client.post(page(subscription, verb)).status_code == 404
    client.force_login(viewer)
    assert client.get(page(subscription)).status_code == 200
    refused = client.post(page(subscription, verb))
    assert refused.status_code == 403 and "Votre rôle ne le permet pas" in refused.content.decode()
    client.logout()
    assert client.post(page(subscription, verb)).status_code == 302


# --- what is taken by itself --------------------------------------------------------------------------------


def saved_with(subscription: Subscription) -> SavedMethod:
    payment = subscription.orders.get(kind=Order.NEW).payments.get()
    return SavedMethod.objects.create(
        organization=subscription.organization,
        payment=payment,
        gateway="fake",
        reference={"charge": "1"},
        label="Visa •••• 4242",
        agreed_at=START,
    )


def test_consent_is_asked_for_and_never_given_by_default(owner: Client, subscription: Subscription) -> None:
    run(START + 22 * DAY)
    order = asked(subscription)
    assert order is not None
    with time_machine.travel(START + 22 * DAY, tick=False):
        text = owner.get(reverse("order", args=[order.pk])).content.decode()
        assert "checked" not in text.partition('name="keep_fake"')[2].partition(">")[0]
        owner.post(reverse("order_pay", args=[order.pk]), {"gateway": "fake"})
        assert order.payments.get().details == {}
        owner.post(reverse("order_change", args=[order.pk]))
        owner.post(reverse("order_pay", args=[order.pk]), {"gateway": "fake", "keep_fake": "1"})
    assert order.payments.latest("number").details == {"keep": "1"}


def test_what_is_taken_by_itself_is_said_and_can_be_stopped(owner: Client, subscription: Subscription) -> None:
    saved = saved_with(subscription)
    path = reverse("billing_method_remove", args=[subscription.organization.slug])
    assert "Visa •••• 4242" in owner.get(page(subscription)).content.decode()
    assert path in owner.get("/billing").content.decode()
    stranger = Client()
    stranger.force_login(people.person("Moussa", "moussa-stranger"))
    assert stranger.post(path).status_code == 404
    assert SavedMethod.objects.filter(pk=saved.pk, removed_at=None).exists()
    assert owner.post(path).status_code == 302
    assert path not in owner.get("/billing").content.decode()


def test_more_and_fewer_add_ons(owner: Client, subscription: Subscription, sold: Shop) -> None:
    users = add_on(sold, "users", month=10)
    wanted = {"add_on": str(users.pk), "quantity": "2", "request": str(uuid.uuid4())}
    with time_machine.travel(START + DAY, tick=False):
        assert 'name="quantity"' in owner.get(page(subscription)).content.decode()
        answer = owner.post(page(subscription, "add-ons"), wanted)
    order = Order.objects.get(kind=Order.CHANGE)
    assert answer["Location"] == reverse("order", args=[order.pk])
    with time_machine.travel(START + DAY, tick=False):
        assert "2 × Plus" in owner.get(answer["Location"]).content.decode()
    pay_and_have(order, now=START + DAY)
    with time_machine.travel(START + DAY, tick=False):
        assert "+ 2 × Plus" in owner.get(reverse("billing")).content.decode()
        # It has no price for a year, so the yearly plans say what is in the way.
        text = owner.get(page(subscription), headers={"Accept-Language": "en"}).content.decode()
        assert "One of your add-ons cannot be had with this plan." in text
    fewer = wanted | {"quantity": "1", "request": str(uuid.uuid4())}
    assert post(owner, subscription, "add-ons", **fewer).next_extras is not None
    again = wanted | {"request": str(uuid.uuid4())}
    assert post(owner, subscription, "add-ons", **again).next_extras is None
    now = fewer | {"quantity": "0", "request": str(uuid.uuid4()), "when": "now"}
    assert post(owner, subscription, "add-ons", **now).extras == []


def test_a_smaller_plan_for_later_can_be_taken_back(owner: Client, subscription: Subscription, sold: Shop) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(next_price=sold.bronze_year)
    with time_machine.travel(START + DAY, tick=False):
        assert "Keep Bronze" in owner.get(page(subscription), headers={"Accept-Language": "en"}).content.decode()
    kept = post(owner, subscription, "change", price=str(sold.bronze.pk), request=str(uuid.uuid4()))
    assert kept.next_price is None


def test_who_leaves_is_not_told_what_would_have_come(owner: Client, subscription: Subscription, sold: Shop) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(next_price=sold.bronze_year)
    post(owner, subscription, "cancel", when="period_end")
    with time_machine.travel(START + DAY, tick=False):
        assert "Keep Bronze" not in owner.get(page(subscription), headers={"Accept-Language": "en"}).content.decode()
