"""What operators decide about customers' money beside payments: credit, prices, add-ons, saved ways to pay."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import baskets, ledger, price_changes, renewals
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import Order, PriceChange, SavedMethod, Subscription
from parcelle.domain.catalog import actions as catalog
from parcelle.domain.notifications.models import Message
from tests import jobs
from tests.domain.billing.subscribing import DAY, START, Shop, add_on, shop, subscribe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def sold() -> Shop:
    return shop()


def confirm(client: Client, row: object, verb: str, at: str, **given: str) -> str:
    answer = client.post(f"/admin/{at}/", {"confirmed": verb, **given}, follow=True)
    return str(answer.content.decode())


def test_credit_is_paid_out_once_for_each_reference(operator: Client, sold: Shop) -> None:
    customer = subscribe(sold.bronze).organization
    at = f"tenancy/organization/{customer.pk}"
    assert f"/admin/{at}/pay-out/" not in operator.get(f"/admin/{at}/change/").content.decode()
    ledger.keep_as_credit(
        organization_id=customer.pk, amount=Money(5000, "EUR"), key="gift", reference="gift", now=START
    )
    assert f"/admin/{at}/pay-out/" in operator.get(f"/admin/{at}/change/").content.decode()
    given = {"currency": "EUR", "amount": "20", "reference": "VIR 77"}
    assert "bo-error" in confirm(operator, customer, "pay_out", f"{at}/pay-out", **given | {"amount": "60"})
    assert books.credit(customer.pk)["EUR"].minor == 5000
    for _again in range(2):
        confirm(operator, customer, "pay_out", f"{at}/pay-out", **given)
    assert books.credit(customer.pk)["EUR"].minor == 3000
    [fact] = Fact.objects.filter(name="CreditPaidOut")
    assert (fact.data["amount_minor"], fact.data["reference"]) == (2000, "VIR 77")
    assert fact.actor.startswith("user:")


def test_a_price_is_announced_seen_and_taken_back(operator: Client, sold: Shop) -> None:
    subscription = subscribe(sold.bronze)
    plan = f"catalog/plan/{sold.bronze.plan_id}"
    dearer = catalog.set_price(sold.bronze.plan_id, interval="month", amount=Money(4000, "EUR"), now=START)
    assert "1 " in operator.get(f"/admin/{plan}/announce/").content.decode()
    given = {"old": str(sold.bronze.pk), "days": "3"}
    confirm(operator, plan, "announce", f"{plan}/announce", **given)
    assert not PriceChange.objects.exists()
    confirm(operator, plan, "announce", f"{plan}/announce", **given | {"days": "45"})
    change = PriceChange.objects.get()
    assert (change.old, change.new) == (sold.bronze, dearer)
    assert change.effective_at - change.announced_at == timedelta(days=45)
    assert price_changes.tell(subscription.pk, now=timezone.now())
    shown = operator.get(f"/admin/billing/pricechange/{change.pk}/change/").content.decode()
    assert subscription.organization.name in shown
    said = confirm(operator, change, "take_back", f"billing/pricechange/{change.pk}/take-back")
    assert not PriceChange.objects.exists()
    # In the words of the list, on which one finds oneself: its own page is gone.
    assert "€30.00 / monthly → €40.00 / monthly: Done: the price stays." in said
    assert "exist" not in said
    jobs.work_off(timezone.now())
    assert Message.objects.filter(kind="price_stays").count() == 1
    names = ("PriceChangeAnnounced", "PriceChangeTakenBack")
    assert [fact.name for fact in Fact.objects.filter(name__in=names).order_by("id")] == list(names)


def test_what_counts_for_somebody_is_not_taken_back(operator: Client, sold: Shop) -> None:
    subscription = subscribe(sold.bronze, now=timezone.now() - 24 * DAY)
    catalog.set_price(sold.bronze.plan_id, interval="month", amount=Money(4000, "EUR"), now=START)
    now = timezone.now()
    change = price_changes.announce(
        old_id=sold.bronze.pk,
        new_id=price_changes.former(sold.bronze.plan_id)[0].new.pk,
        actor="operator",
        now=now - 30 * DAY,
        notice=31 * DAY,
    )
    price_changes.tell(subscription.pk, now=now)
    assert renewals.renew(subscription.pk, now=now)
    confirm(operator, change, "take_back", f"billing/pricechange/{change.pk}/take-back")
    assert PriceChange.objects.exists()


def test_an_operator_changes_add_ons(operator: Client, sold: Shop) -> None:
    users = add_on(sold, "users", month=10)
    subscription = subscribe(sold.bronze, now=timezone.now() - 5 * DAY, add_ons={users.pk: 2})
    at = f"billing/subscription/{subscription.pk}/add-ons"
    name = f"add_on_{users.pk}"
    confirm(operator, subscription, "add_ons", at, **{name: "5", "when": "end"})
    order = subscription.orders.get(kind=Order.CHANGE)
    assert order.state == "open" and order.subtotal_minor > 0
    assert "bo-error" in confirm(operator, subscription, "add_ons", at, **{name: "2", "when": "end"})
    confirm(operator, subscription, "add_ons", at, **{name: "1", "when": "end"})
    after = Subscription.objects.get(pk=subscription.pk)
    assert [extra.quantity for extra in baskets.next_extras(after)] == [1]
    confirm(operator, subscription, "add_ons", at, **{name: "0", "when": "now"})
    assert baskets.read(Subscription.objects.get(pk=subscription.pk).extras) == ()
    assert Fact.objects.filter(name="ChangeScheduled").get().actor.startswith("user:")


def test_a_saved_way_to_pay_is_removed(operator: Client, sold: Shop) -> None:
    subscription = subscribe(sold.bronze)
    saved = SavedMethod.objects.create(
        organization=subscription.organization,
        payment=subscription.orders.get().payments.get(),
        gateway="fake",
        reference={"token": "secret-token"},
        label="Visa •••• 4242",
        agreed_at=START,
    )
    shown = operator.get(f"/admin/billing/savedmethod/{saved.pk}/change/").content.decode()
    assert "4242" in shown and "secret-token" not in shown
    confirm(operator, saved, "remove", f"billing/savedmethod/{saved.pk}/remove")
    saved.refresh_from_db()
    assert saved.removed_at is not None
